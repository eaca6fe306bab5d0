#!/bin/bash
# Init of a subscriber's router: a PPPoE client and a DHCPv6 client that wait to be told to dial.
. "$(dirname "$0")/common.sh"
ip link set vec0 up
ip link add link vec0 name wan0 type vlan id 100
ip link set wan0 up
ip link add lan0 type dummy # where her network at home would be
ip link set lan0 up
mkdir -p /run/wide
cat >/run/wide/dhcp6c.conf <<'EOF'
interface ppp0 { send ia-pd 1; };
id-assoc pd 1 { prefix-interface lan0 { sla-id 0; sla-len 8; ifid 1; }; };
EOF
# told to end, dhcp6c would wait for an answer to its Release on a link that has gone
cat >/etc/ppp/ipv6-down <<'EOF'
#!/bin/bash
[ -e /run/wide/client ] && kill -KILL "$(cat /run/wide/client)"
rm -f /run/wide/client
/usr/sbin/ip -6 addr flush dev lan0 scope global
exit 0
EOF
cat >/etc/ppp/ipv6-up <<'EOF'
#!/bin/bash
/etc/ppp/ipv6-down
setsid /usr/sbin/dhcp6c -f -c /run/wide/dhcp6c.conf -p /run/wide/pid ppp0 </dev/null >>/run/wide/log 2>&1 &
echo $! >/run/wide/client
exit 0
EOF
chmod +x /etc/ppp/ipv6-up /etc/ppp/ipv6-down
echo ready >"$FOLDER/ready"
jobs_from_outside
