# The names of everyday work. The logic is in scripts/, which continuous integration calls as well.

# list the recipes
default:
    @just --list

# install what the tests need beside Rust, Go, Node and Python
setup:
    ./scripts/setup

# everything: setup, then every stage
ci:
    ./scripts/test

# format the sources
fmt:
    cargo fmt --all

# write the generated parts of the documentation: the table of configuration keys, and what becomes of Centrifugo's
docs:
    cargo run -p natter-gateway -- config-reference docs/configuration.md
    cargo run -p natter-gateway -- migration-table docs/migration.md

# write the generated parts of the chart: the table of values, and the definition copied from crds/
chart:
    python3 scripts/chart/readme.py

# write the Grafana dashboards
dashboards:
    python3 scripts/dashboards/generate.py

# write everything that is generated: the table of keys, the custom resource definition, the objects of the operator's fixtures
generate: docs dashboards bench-render
    NATTER_UPDATE_FIXTURES=1 cargo test -p natter-operator --test pure
    python3 scripts/chart/readme.py # copies the definition

# what can be said without running the program: format, lints, documentation, house rules, dependencies
check:
    ./scripts/test fmt clippy doc checks deny

# every test of the workspace
test:
    ./scripts/test tests

# tests inside the crates: seconds, no server needed
test-unit *ARGS:
    cargo test --workspace --exclude natter-tests {{ ARGS }}

# tests on real servers, clients and a browser
test-scenarios *ARGS:
    cargo test -p natter-tests {{ ARGS }}

# end to end on a real Kubernetes; with words, the scenarios whose names hold one: just kubernetes history
kubernetes *NAMES:
    ./tests/kubernetes/e2e {{ NAMES }}

# durable rooms while servers, gateways and connections die, for so many seconds: just faults 600
faults SECONDS:
    NATTER_FAULTS_SECONDS={{ SECONDS }} cargo test -p natter-tests --test faults -- --nocapture

# bounded fuzzing: just fuzz framing 30
fuzz TARGET SECONDS:
    ./scripts/fuzz {{ TARGET }} {{ SECONDS }}

# the gateway with its defaults; open the page it names
run *ARGS:
    cargo run --release -p natter-gateway -- {{ ARGS }}

# the load tool, which starts the gateway beside it: just bench --help
bench *ARGS:
    "$(./scripts/static-release)/natter-bench" {{ ARGS }}

# memory of 10,000 idle connections, each in a room; fails above the bound that CI guards
bench-density *ARGS: (bench "density --max-bytes-per-connection 6144" ARGS)

# what deliveries cost: one large room, one busy room, many rooms
bench-fanout *ARGS: (bench "fanout --members 1000 --rate 50" ARGS) (bench "fanout --members 200 --rate 500" ARGS) (bench "fanout --members 10 --rooms 500 --rate 3000 --by http" ARGS)

# connecting and joining, as fast as it goes and at a rate; memory when 5,000 connections come and go
bench-connect *ARGS: (bench "connect" ARGS) (bench "connect --rate 500 --rounds 1" ARGS)

# 5,000 connections drop and come back, as clients do and all at once
bench-storm *ARGS: (bench "storm" ARGS) (bench "storm --at-once" ARGS)

# 10 of 210 members do not read, then 10 read a little
bench-slow *ARGS: (bench "slow" ARGS) (bench "slow --reads-every 20" ARGS)

# a room of 10,000 members is flooded; fails when p99 in the other rooms is over 20 ms
bench-flood *ARGS: (bench "flood --max-p99 20" ARGS)

# floods, half requests and members that never read beside 200 who chat; fails when their p99 is over 50 ms or the gateway over 256 MiB
bench-abuse *ARGS: (bench "abuse --other-rooms 20 --other-members 10 --max-p99 50 --max-resident 256" ARGS)

# presence of 10,000 members in one room: bytes of a member, cost of a join or leave
bench-presence *ARGS: (bench "presence" ARGS)

# how costs grow with connections, rooms and bytes; some ten minutes
bench-scale *ARGS: (bench "scale" ARGS)

# all servers at all rows of work, run by run, and docs/benchmarks.md of it: hours, on a machine that does nothing else
bench-compare *ARGS: (bench "compare --out target/bench-compare.jsonl" ARGS) (bench "render --from target/bench-compare.jsonl")

# write tables and plots of docs/benchmarks.md again, from docs/benchmarks.json
bench-render:
    cargo run -p natter-bench -- render

# durable rooms: publications until they are stored, through the doors of a gateway and without one, R1 and R3
bench-publish *ARGS: (bench "publish --storage memory" ARGS) (bench "publish --storage file" ARGS) (bench "publish --storage memory --replicas 3" ARGS) (bench "publish --storage file --replicas 3" ARGS)

# durable rooms: 100 of them, and 100,000 of which 50,000 are live
bench-rooms *ARGS: (bench "rooms --rooms 100" ARGS) (bench "rooms --rooms 100000" ARGS)

# durable rooms: 10,000 clients of one room drop and come back, to the same gateway and to another one
bench-reconnect *ARGS: (bench "reconnect --lose clients" ARGS) (bench "reconnect --lose gateway" ARGS)

# what is lost right after a join, with and without the join barrier: the table of docs/guarantees.md
join-window:
    cargo run --release -p natter-tests --example join_window

# how long it takes until a revoked user is out everywhere: 50 connections, three gateways, 20 runs; fails from 1 s on
revocation:
    cargo run -p natter-tests --example revocation

# what a message and a room cost who receives them, beside async-nats: a table of docs/benchmarks.md
receive-path:
    cargo run --release -p natter-tests --example receive_path
