#!/bin/bash
# Init of the BNG: pppoe-server and pppd on VLAN 100; the agent speaks RADIUS and sets what a session may do.
. "$(dirname "$0")/common.sh"
here=$(dirname "$0")
ip link set vec0 name access
ip link set vec1 name core
ip link set vec2 name mgmt
for name in access core mgmt; do ip link set "$name" up; done
ip link add link access name access.100 type vlan id 100
ip link set access.100 up
. "$FOLDER/addresses.sh"
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

# Nothing of a subscriber is forwarded unless the agent has opened the way for her: routing starts out shut.
for family in -4 -6; do
    ip $family rule add pref 100 iif lo lookup main
    ip $family rule add pref 20000 iif core lookup main
    ip $family rule del pref 32766
done
ip -4 rule add pref 200 to "$MANAGEMENT_NET" prohibit

mkdir -p /run/radius
cp "$FOLDER/radius-servers" /run/radius/servers
cp "$here/dictionary" /run/radius/dictionary
cat >/run/radius/conf <<'EOF'
auth_order radius
login_tries 1
login_timeout 60
nologin /run/nologin
issue /run/issue
authserver 127.0.0.1:1812
acctserver 127.0.0.1:1813
servers /run/radius/servers
dictionary /run/radius/dictionary
login_radius /bin/true
seqfile /run/radius/seq
mapfile /run/radius/ports
default_realm
radius_timeout 8
radius_retries 1
EOF
: >/run/radius/ports
: >/run/radius/seq
cat >/etc/ppp/server-options <<'EOF'
require-chap
+ipv6
noipx
nobsdcomp
nodeflate
novj
mtu 1492
mru 1492
lcp-restart 1
lcp-echo-interval 5
lcp-echo-failure 3
plugin radius.so
radius-config-file /run/radius/conf
EOF
cp "$here/tell-agent" /run/tell-agent
cp "$here/session" /run/session
printf '#!/bin/bash\n/run/tell-agent up "$1" "$6"\n' >/etc/ppp/ip-pre-up
printf '#!/bin/bash\n/run/tell-agent up6 "$1" "$6"\n' >/etc/ppp/ipv6-up
chmod +x /run/tell-agent /run/session /etc/ppp/ip-pre-up /etc/ppp/ipv6-up

setsid "$PYTHON" -m turnup.lab.real.pppoe.agent "$FOLDER/bng.json" </dev/null >"$FOLDER/agent.log" 2>&1 &
until [ -e /run/agent-ready ]; do sleep 0.1; done
pppoe-server -I access.100 -L "$ROUTER4" -R "$UNUSED4" -N 250 -O /etc/ppp/server-options -C "$NAME" -q /run/session
echo ready >"$FOLDER/ready"
jobs_from_outside
