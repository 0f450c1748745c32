"""SYS: the server for logins over SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.rules import answer, require, rule

if TYPE_CHECKING:
    from testinfra.host import Host

START_AND_SCAN = r"""
port=22022
folder=$(mktemp -d) && mkdir -p /run/sshd || exit
trap 'kill $server 2>/dev/null; rm -r $folder' EXIT
set -- /etc/ssh/ssh_host_*_key
if [ -e "$1" ]; then
    set --
else
    ssh-keygen -q -t ed25519 -N '' -f $folder/key && set -- -h $folder/key
fi
set -- /usr/sbin/sshd -p $port -o PidFile=none -o LogLevel=INFO "$@"
"$@" -T -C user=root,host=localhost,addr=127.0.0.1 >$folder/settings || exit
"$@" -D -e 2>$folder/log &
server=$!
tries=50
while [ $((tries -= 1)) -gt 0 ] && kill -0 $server 2>/dev/null; do
    grep -q '^Server listening' $folder/log && break
    sleep 0.1
done
sed -n '/^listenaddress /{s///;s/0\.0\.0\.0/127.0.0.1/;s/\[::\]/[::1]/;p}' $folder/settings \
    >$folder/addresses
while read -r address; do
    host=${address%:*} host=${host#[} host=${host%]}
    ssh-keyscan -T 5 -p ${address##*:} $host >$folder/keys 2>$folder/banner
    if grep -q '^[^#]' $folder/keys; then
        grep -h -m 1 -o 'SSH-2[^[:space:]]*' $folder/banner $folder/keys
        exit
    fi
    echo "ssh-keyscan of $address got no host key" >>$folder/log
done <$folder/addresses
cat $folder/log >&2
exit 1
"""
"""Starts sshd on a free port, with a throw-away key where an init script is to make the host's.

A server of an init script's, which holds the addresses already, answers as well.
"""


@rule(
    "SYS013",
    "sshd-answers",
    level="fail",
    effect="disables-feature",
    feature="ssh",
    where="cluster",
    requires=("SYS004", "SYS012"),
    sources=(
        "https://github.com/databricks/containers/blob/master/ubuntu/standard/Dockerfile",
        "https://github.com/databricks/containers/tree/master/ubuntu/ssh",
        "https://manpages.debian.org/bookworm/openssh-server/sshd_config.5.en.html",
    ),
)
def test_sshd_answers(host: Host) -> None:
    """`service ssh start`, which the official standard image asks for, makes /run/sshd and starts
    sshd with the image's settings. Some faults show only when a client comes: "Cannot bind any
    address." for a ListenAddress of another machine, "refused connect" for a line of hosts.deny.
    Without host keys in the image, which an init script then has to make, the trial makes one.

    Fix: `RUN apt-get update && apt-get install -y openssh-server`, without ListenAddress in
    /etc/ssh/sshd_config, and without `ALL: ALL` in /etc/hosts.deny.
    """
    result = host.run("sh -c %s", START_AND_SCAN)
    require(
        result.succeeded and result.stdout.startswith("SSH-2"),
        "/usr/sbin/sshd on loopback",
        found=answer(result),
        needed="an answer with banner and host keys",
    )
