use super::*;
use crate::fleet::tests::{at, revision, serving};

fn fleet(gateways: Vec<Gateway>) -> Fleet {
    Fleet {
        current: revision("r", gateways),
        former: vec![],
    }
}

/// A gateway that uses so many cores and MiB.
fn using(pod: &str, cpu: f64, memory: u64) -> Gateway {
    let mut gateway = serving(pod, 1);
    let sample = gateway.sample.get_or_insert_default();
    (sample.cpu, sample.memory) = (Some(cpu), Some(memory << 20));
    gateway
}

fn needed(fleet: &Fleet, connections: u64, cpu: Option<f64>, memory: Option<u64>) -> (usize, String) {
    let ceilings = Ceilings {
        connections,
        cpu,
        memory: memory.map(|mib| mib << 20),
    };
    let need = need(fleet, &ceilings, at(0));
    (need.up, need.why_up)
}

#[test]
fn cpu_and_memory_are_ceilings() {
    let fleet = fleet(vec![using("a", 0.9, 300), using("b", 0.9, 300)]);
    let by = |cpu, memory| needed(&fleet, 1_000, cpu, memory);
    assert_eq!(by(None, None), (1, "2 connections of 1000 for each".to_owned()));
    assert_eq!(
        by(Some(0.5), None),
        (4, "CPU above 0.5 cores for each".to_owned())
    );
    assert_eq!(
        by(Some(0.5), Some(100)),
        (6, "memory above 100 MiB for each".to_owned())
    );
}

#[test]
fn what_processes_use_is_not_counted_twice_in_a_roll() {
    let rolling = |of_new| Fleet {
        current: revision("new", ["d", "e", "f"].map(|pod| using(pod, 0.1, of_new)).into()),
        former: vec![revision(
            "old",
            ["a", "b", "c"].map(|pod| using(pod, 1.0, 150)).into(),
        )],
    };
    let by = |of_new, cpu, memory| needed(&rolling(of_new), 1_000, cpu, memory).0;
    assert_eq!(by(100, None, Some(200)), 3, "not 750 MiB by 200");
    assert_eq!(by(100, Some(1.0), None), 3, "not 3.3 cores by 1");
    assert_eq!(
        by(250, None, Some(200)),
        4,
        "what new ones use by themselves counts"
    );
}

#[test]
fn each_gateway_counts_for_what_it_can_have() {
    let with_limits = |limits: &[(u64, u64)]| {
        let gateways = limits.iter().enumerate();
        let gateways = gateways.map(|(number, (connections, limit))| {
            let mut gateway = serving(&format!("g-{number}"), *connections);
            gateway.sample.get_or_insert_default().connection_limit = *limit;
            gateway
        });
        fleet(gateways.collect())
    };
    let by = |limits: &[(u64, u64)]| needed(&with_limits(limits), 20_000, None, None);
    let text = |carried: u64, of: u64| format!("{carried} connections of {of} for each");
    // One node of twenty has a low limit: its gateway lacks its own part, and counts for 918.
    let mut one_small = vec![(15_000, 1_000_000); 20];
    one_small[7] = (900, 1_020);
    assert_eq!(by(&one_small), (16, text(280_000, 20_000)));
    let mut full = vec![(20_000, 1_000_000); 20];
    full[7] = (1_020, 1_020);
    assert_eq!(by(&full).0, 21);
    // Where most have it, those to come will have it too.
    assert_eq!(by(&[(1_000, 1_000), (1_000, 1_000)]), (3, text(2_000, 900)));
    assert_eq!(by(&[(0, 0)]), (0, text(0, 1)));
    assert_eq!(by(&[(10, 0), (19_000, 1_000_000)]), (2, text(19_000, 20_000)));
}
