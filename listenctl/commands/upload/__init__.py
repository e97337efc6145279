"""``listenctl upload``: recordings that are left in a spool go to object storage."""
