# shellcheck shell=bash
# A real Kafka in the foreground: BROKERS combined broker-controllers (KRaft) on 127.0.0.1.
# Sourced by ./x. It ends only the brokers it started, by their process ids.

KAFKA_PORT=19092
KAFKA_START_S_MAX=60
KAFKA_STOP_S_MAX=10

# Small heaps and a quick start: a developer's machine, not a server's.
KAFKA_JAVA=("$(java_program java)" -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1
  -cp "$OUTRIGGER_KAFKA_LIB/*")

BROKER_PIDS=()
KAFKA_TEMP=""

run_kafka() {
  local brokers=${BROKERS:-1} data=${KAFKA_DATA:-} base node
  [[ $brokers == 1 || $brokers == 3 ]] || fail "BROKERS is 1 or 3, not \`$brokers\`"
  trap end_kafka EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [[ -z $data ]]; then
    KAFKA_TEMP=$(mktemp -d)
    data=$KAFKA_TEMP
  fi
  mkdir -p "$data"
  data=$(cd "$data" && pwd)
  same_brokers "$data" "$brokers"
  base=$(free_ports "$brokers")
  for ((node = 1; node <= brokers; node++)); do
    broker_home "$data" "$node" "$brokers" "$base"
  done
  for ((node = 1; node <= brokers; node++)); do
    start_broker "$data/broker-$node"
  done
  await_brokers "$data" "$brokers" "$base"
  greet "$data" "$brokers" "$base"
  wait_for_brokers "$data"
}

# The voters are part of the data: three brokers cannot become one by starting fewer.
same_brokers() {
  local data=$1 brokers=$2 before
  if [[ -f $data/cluster ]]; then
    before=$(awk '{ print $2 }' "$data/cluster")
    [[ $before == "$brokers" ]] ||
      fail "$data holds a Kafka of $before brokers: set BROKERS=$before, or KAFKA_DATA to another directory"
    return
  fi
  [[ -z $(ls -A "$data") ]] || fail "$data is not empty and not from \`./x kafka\`"
  echo "$("${KAFKA_JAVA[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null) $brokers" >"$data/cluster"
}

# Brokers listen from the answer on, their controllers behind them.
free_ports() {
  local brokers=$1 base port taken
  for ((base = KAFKA_PORT; base < 60000; base += 100)); do
    taken=""
    for ((port = base; port < base + 2 * brokers; port++)); do
      ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || taken=$port
    done
    if [[ -z $taken ]]; then
      echo "$base"
      return
    fi
  done
  fail "no free ports between $KAFKA_PORT and 60000"
}

broker_home() {
  local data=$1 node=$2 brokers=$3 base=$4 home="$1/broker-$2"
  mkdir -p "$home"
  broker_properties "$home" "$node" "$brokers" "$base" >"$home/server.properties"
  "${KAFKA_JAVA[@]}" kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "$(awk '{ print $1 }' "$data/cluster")" --config "$home/server.properties" \
    >"$home/format.log" 2>&1 || fail "Kafka refused $home: $(tail -n 5 "$home/format.log")"
}

start_broker() {
  "${KAFKA_JAVA[@]}" kafka.Kafka "$1/server.properties" >"$1/broker.log" 2>&1 </dev/null &
  BROKER_PIDS+=($!)
}

broker_properties() {
  local home=$1 node=$2 brokers=$3 base=$4 voters="" peer
  local broker_port=$((base + node - 1)) controller_port=$((base + brokers + node - 1))
  for ((peer = 1; peer <= brokers; peer++)); do
    voters+="${voters:+,}$peer@127.0.0.1:$((base + brokers + peer - 1))"
  done
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$broker_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$broker_port
controller.listener.names=CONTROLLER
log.dirs=$home/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=$brokers
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=$((brokers / 2 + 1))
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
PROPERTIES
}

await_brokers() {
  local data=$1 brokers=$2 base=$3 deadline=$((SECONDS + KAFKA_START_S_MAX))
  until kcat -b "127.0.0.1:$base" -L 2>/dev/null | grep -q "^ $brokers brokers:"; do
    all_alive || fail "a broker ended while starting: $(last_words "$data")"
    [[ $SECONDS -lt $deadline ]] ||
      fail "Kafka is not up after $KAFKA_START_S_MAX s: $(last_words "$data")"
    sleep 0.2
  done
}

all_alive() {
  local pid
  for pid in "${BROKER_PIDS[@]}"; do
    kill -0 "$pid" 2>/dev/null || return 1
  done
}

last_words() { tail -n 5 "$1"/broker-*/broker.log | tr -d '\0'; }

greet() {
  local data=$1 brokers=$2 base=$3 servers="" node
  for ((node = 0; node < brokers; node++)); do
    servers+="${servers:+,}127.0.0.1:$((base + node))"
  done
  cat <<TEXT
Kafka $KAFKA_VERSION is up: $servers
  data and logs  $data$([[ -z $KAFKA_TEMP ]] || echo "  (removed at the end; KAFKA_DATA=dir keeps it)")
  broker pids    ${BROKER_PIDS[*]}

Try, from other terminals:
  outrigger serve --bootstrap $servers --store demo --create --data ./n1
  kcat -b $servers -t demo -C -o beginning -f '%k = %s\n'
  echo 'hello=world' | kcat -b $servers -t demo -P -K= -X topic.partitioner=murmur2_random

ctrl-c ends it.
TEXT
}

# Three brokers survive the loss of one, and playing with that is what they are for.
wait_for_brokers() {
  local data=$1 pid
  for pid in "${BROKER_PIDS[@]}"; do
    wait "$pid" || say "broker with pid $pid ended: $(last_words "$data")"
  done
}

end_kafka() {
  local status=$? pid deadline=$((SECONDS + KAFKA_STOP_S_MAX))
  trap '' INT TERM
  for pid in ${BROKER_PIDS[@]+"${BROKER_PIDS[@]}"}; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for pid in ${BROKER_PIDS[@]+"${BROKER_PIDS[@]}"}; do
    while kill -0 "$pid" 2>/dev/null && [[ $SECONDS -lt $deadline ]]; do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  [[ -z $KAFKA_TEMP ]] || rm -rf "$KAFKA_TEMP"
  exit "$status"
}
