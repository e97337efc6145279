"""We connect: as jambonz to a listen server, or to the control socket of a running one."""
