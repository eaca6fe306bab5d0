# Sourced by the init of every guest: mounts, kernel modules, and the jobs that come from outside.
# The root file system is this machine's own, read-only; $FOLDER (kernel command line) is shared both ways.
export PATH=/usr/sbin:/sbin:/usr/bin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
for folder in /tmp /run /etc/ppp /var/tmp /var/lib/dhcpv6; do
    [ -d "$folder" ] && mount -t tmpfs tmpfs "$folder"
done
for word in $(cat /proc/cmdline); do
    case $word in FOLDER=* | NAME=* | PYTHON=* | GLIBC_TUNABLES=*) export "$word" ;; esac
done
mkdir -p "$FOLDER"
mount -t hostfs none "$FOLDER" -o "$FOLDER"
mkdir -p /run/lock
printf '127.0.0.1 localhost %s\n' "$NAME" >/run/hosts
mount --bind /run/hosts /etc/hosts
hostname "$NAME"
: >/etc/ppp/options

modules=/usr/lib/uml/modules/$(uname -r)
# kmod is not asked for: its dependencies, last first, by hand
load() {
    local line file
    line=$(grep "/$1.ko:" "$modules/modules.dep") || return 0
    for file in $(echo "${line#*:}" | tr ' ' '\n' | busybox tac) "${line%%:*}"; do
        busybox insmod "$modules/$file" 2>/dev/null
    done
}
for name in ipv6 ppp_generic pppoe 8021q dummy sch_htb sch_ingress sch_fq_codel ifb act_mirred cls_matchall; do
    load "$name"
done
ip link set lo up

# $FOLDER/in/N.sh is run; N.out and, last, N.rc say how it went; N.kill ends it
jobs_from_outside() {
    local job name
    mkfifo /run/pause && exec 9<>/run/pause
    while :; do
        for job in "$FOLDER"/in/*.sh; do
            [ -e "$job" ] || continue
            name=${job##*/}
            name=${name%.sh}
            mv "$job" "$FOLDER/taken/$name.sh"
            (
                setsid bash "$FOLDER/taken/$name.sh" </dev/null >"$FOLDER/out/$name.out" 2>&1 9>&- &
                echo $! >"/run/job-$name"
                wait $!
                echo $? >"$FOLDER/out/$name.part"
                mv "$FOLDER/out/$name.part" "$FOLDER/out/$name.rc"
            ) &
        done
        for job in "$FOLDER"/in/*.kill; do
            [ -e "$job" ] || continue
            name=${job##*/}
            kill -TERM -- "-$(cat "/run/job-${name%.kill}")" 2>/dev/null
            rm -f "$job"
        done
        read -r -t 0.05 -u 9
    done
}
