#!/usr/bin/env bash
# Two peers behind two port-restricted NATs, a relay of their own, and UDP cut in the middle: how long do
# messages stall, and is any lost or doubled? Real iroh, in network namespaces that are gone afterwards.
#
#   tests/nat/failover.sh [DIRECTORY OF THE EXAMPLES]      needs root, ip and nft
#
# Prints one line for each case and fails if a promise is broken.
set -euo pipefail
bin=$(realpath "${1:-target/debug/examples}")
id=$$
work=$(mktemp -d)
names=(relay nat1 nat2 host join)
ns() { echo "p2p$id-$1"; }
run() { local where=$1; shift; ip netns exec "$(ns "$where")" "$@"; }

for tool in ip nft; do
  command -v "$tool" >/dev/null || { echo "failover: $tool is missing: apt-get install iproute2 nftables" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "failover: needs root, to make network namespaces" >&2; exit 2; }

cleanup() {
  local pids
  pids=$(jobs -p)
  [ -z "$pids" ] || kill $pids 2>/dev/null || true
  for name in "${names[@]}"; do ip netns del "$(ns "$name")" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

for name in "${names[@]}"; do
  ip netns add "$(ns "$name")"
  run "$name" ip link set lo up
done
# The world is a bridge in the relay's namespace: 10.7.0.0/24. Behind each NAT: 10.7.N.0/24.
run relay ip link add world type bridge
run relay ip addr add 10.7.0.1/24 dev world
run relay ip link set world up
for n in 1 2; do
  inner=$([ "$n" = 1 ] && echo host || echo join)
  ip link add "w$n" netns "$(ns relay)" type veth peer name world netns "$(ns "nat$n")"
  run relay ip link set "w$n" master world up
  run "nat$n" ip addr add "10.7.0.1$n/24" dev world
  run "nat$n" ip link set world up
  ip link add inner netns "$(ns "nat$n")" type veth peer name eth0 netns "$(ns "$inner")"
  run "nat$n" ip addr add "10.7.$n.1/24" dev inner
  run "nat$n" ip link set inner up
  run "$inner" ip addr add "10.7.$n.2/24" dev eth0
  run "$inner" ip link set eth0 up
  run "$inner" ip route add default via "10.7.$n.1"
  run "nat$n" sysctl -qw net.ipv4.ip_forward=1
  # Masquerading keeps ports where it can, and lets in only what was asked for: port-restricted. What comes
  # unasked is dropped before it counts as a flow of the NAT's own, which would take the port.
  run "nat$n" nft -f - <<'RULES'
table ip nat {
  chain out { type nat hook postrouting priority srcnat; oifname "world" masquerade; }
}
table ip filter {
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "inner" accept
  }
  chain input { type filter hook input priority filter; policy drop; iifname != "world" accept; }
}
RULES
done

wait_for() { # FILE PATTERN SECONDS
  for _ in $(seq $(($3 * 20))); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  echo "failover: no '$2' within $3 s; the output so far:" >&2
  cat "$1" >&2
  return 1
}

run relay "$bin/relay" --host 10.7.0.1 --listen 10.7.0.1:3443 --cert-out "$work/relay.pem" --json >"$work/relay.log" 2>&1 &
wait_for "$work/relay.log" '"ready"' 20
relay=(--relay https://10.7.0.1:3443 --relay-ca "$work/relay.pem")

cut() { run nat2 nft add rule ip filter forward meta l4proto udp drop; run nat2 nft insert rule ip filter forward meta l4proto udp drop; }
mend() {
  for handle in $(run nat2 nft -a list chain ip filter forward | sed -n 's/.*l4proto udp drop # handle //p'); do
    run nat2 nft delete rule ip filter forward handle "$handle"
  done
}

# One case: plays for some seconds, cuts UDP, and looks at the echoes. The longest stall is the greatest round
# trip, as each message waits for its own echo.
play() { # NAME SECONDS FLAGS...
  local name=$1 seconds=$2; shift 2
  run host "$bin/host" "${relay[@]}" --ticket-out "$work/$name.ticket" --json "$@" >"$work/$name.host" 2>&1 &
  local host=$!
  for _ in $(seq 400); do [ -s "$work/$name.ticket" ] && break; sleep 0.05; done
  run join "$bin/join" --ticket "$work/$name.ticket" "${relay[@]}" --every-ms 50 --seconds "$seconds" --json "$@" \
    >"$work/$name.join" 2>&1 &
  local join=$!
  wait_for "$work/$name.join" '"selected":"direct"' 20
  sleep 3
  cut
  local code=0
  wait "$join" || code=$?
  mend
  kill "$host" 2>/dev/null || true
  wait "$host" 2>/dev/null || true
  python3 - "$name" "$code" "$work/$name.join" <<'REPORT'
import json, sys
name, code, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
lines = [json.loads(line) for line in open(path) if line.startswith("{")]
echoes = [line for line in lines if line.get("ev") == "echo"]
seqs = [line["seq"] for line in echoes]
rtts = [line["rtt_us"] / 1000 for line in echoes if line.get("rtt_us") is not None]
paths = [line["selected"] for line in lines if line.get("ev") == "path"]
stall = max(rtts, default=float("inf"))
whole = sorted(seqs) == list(range(len(seqs))) and all(line["ok"] for line in echoes)
print(f"{name}: {len(seqs)} echoes, each once and in order of sending: {whole and seqs == sorted(seqs)}, "
      f"longest {stall:.0f} ms, paths {' '.join(paths)}, exit {code}", flush=True)
limit = float("inf") if name == "patient" else 700
sys.exit(0 if code == 0 and whole and seqs == sorted(seqs) and stall <= limit else 1)
REPORT
}

play lasting 10 --lasting
# For comparison: what iroh does by itself.
[ -z "${FAILOVER_COMPARE:-}" ] || play patient 25
