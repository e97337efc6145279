"""A systemd unit that records calls, with as few rights as that takes."""

import shutil
import sys
from pathlib import Path

DRAIN_SECONDS = 600
# Time to finish recordings after the last call.
_FINISH_SECONDS = 60
_HOMES = ("/home", "/root")

_UNIT = """\
# Save as /etc/systemd/system/listenctl.service, and before the first start: useradd --system listenctl
[Unit]
Description=listenctl: record the calls of jambonz
Documentation=man:listenctl-record(1) man:listenctl-operations(7)
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecReload=kill -HUP $MAINPID
User=listenctl
# Credentials and other settings: LISTENCTL_HOST, LISTENCTL_AUTH_FILE and so on; see listenctl(1).
EnvironmentFile=-/etc/default/listenctl
Environment=XDG_RUNTIME_DIR=/run/listenctl
ExecStart={program} record /var/lib/listenctl/ --admin 127.0.0.1:9100 --drain-timeout {drain}
TimeoutStopSec={stop}
WatchdogSec=60
Restart=on-failure
StateDirectory=listenctl
StateDirectoryMode=0700
WorkingDirectory=/var/lib/listenctl
RuntimeDirectory=listenctl
RuntimeDirectoryMode=0700
UMask=0077
LimitNOFILE=65536

AmbientCapabilities=
CapabilityBoundingSet=
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome={home}
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=setrlimit prlimit64 sched_getaffinity setpriority

[Install]
WantedBy=multi-user.target
"""


def systemd_unit(program: Path) -> str:
    """Return a unit that starts ``program``, which is how this command was started."""
    if program.name == "__main__.py":
        command = f"{Path(sys.executable).absolute()} -m listenctl"
    else:
        command = str(Path(shutil.which(program) or program).absolute())
    home = "read-only" if command.startswith(_HOMES) else "yes"
    return _UNIT.format(program=command, home=home, drain=DRAIN_SECONDS, stop=DRAIN_SECONDS + _FINISH_SECONDS)
