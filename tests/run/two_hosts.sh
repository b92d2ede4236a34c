#!/bin/sh
# test
# timeout: 120
# args: @build@/tests/backend-cpu-collective
# Runs an MPI test with one rank on each of two hosts over TCP: two network namespaces joined by a
# virtual cable, each with its own host name. Needs root; without, says so and exits with 77.
#   two_hosts.sh PROGRAM [ARGUMENT...]
set -u
a=tessera-a-$$ b=tessera-b-$$
cable_a=tsa$$ cable_b=tsb$$
address_a=10.213.77.1 address_b=10.213.77.2

refuse() {
  echo "two_hosts.sh: $1; run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"
  exit 77
}
[ "$(id -u)" -eq 0 ] || refuse "network namespaces need root"
command -v ip >/dev/null || { echo "two_hosts.sh: no ip; install iproute2" && exit 77; }

agent=$(mktemp)
clean_up() {
  for host in "$a" "$b"; do
    for pid in $(ip netns pids "$host" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
    ip netns del "$host" 2>/dev/null
  done
  ip link del "$cable_a" 2>/dev/null
  rm -rf "$agent" "/tmp/$a" "/tmp/$b"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

ip netns add "$a" 2>/dev/null && ip netns add "$b" 2>/dev/null || refuse "ip netns add is forbidden"
ip link add "$cable_a" type veth peer name "$cable_b" 2>/dev/null || refuse "no virtual cable"
connect() { # HOST CABLE ADDRESS
  ip link set "$2" netns "$1" && ip -n "$1" link set lo up &&
    ip -n "$1" addr add "$3/24" dev "$2" && ip -n "$1" link set "$2" name wire0 &&
    ip -n "$1" link set wire0 up && mkdir -p "/tmp/$1"
}
connect "$a" "$cable_a" "$address_a" && connect "$b" "$cable_b" "$address_b" ||
  refuse "the cable cannot be configured"

# What mpirun takes for ssh: HOST COMMAND...
cat >"$agent" <<END
#!/bin/sh
# test
# timeout: 120
# args: @build@/tests/backend-cpu-collective
shift
export TMPDIR=/tmp/$b
exec ip netns exec $b unshare --uts sh -c 'hostname $b && exec sh -c "\$1"' start "\$*"
END
chmod +x "$agent"

program=$(realpath "$1")
shift
TMPDIR=/tmp/$a timeout 300 ip netns exec "$a" unshare --uts sh -c \
  'hostname "$1" && shift && exec "$@"' start "$a" \
  mpirun --allow-run-as-root --bind-to none -n 2 --map-by node \
  --host "$address_a:1,$address_b:1" --mca plm rsh --mca plm_rsh_agent "$agent" \
  --mca btl tcp,self --mca btl_tcp_if_include wire0 --mca oob_tcp_if_include wire0 \
  "$program" "$@" || exit 1

# The loop-back would do the same test: the cable must have carried it.
bytes=$(ip netns exec "$a" cat /sys/class/net/wire0/statistics/rx_bytes)
echo "two_hosts.sh: host a received $bytes bytes"
[ "$bytes" -gt 1000000 ] || { echo "two_hosts.sh: too few for this test" && exit 1; }
