//! Conditions about what gateways carry: whether it fits, and whether it is spread.

use super::{Condition, ConditionType, Outcome};
use crate::{
    api::ChatCluster,
    fleet::{Fleet, Gateway},
    scaling::{LastShed, Size, rounded},
};

/// Percent of its limit of connections from which a gateway is said to be close to it.
const CLOSE_PERCENT: u64 = 90;
/// And below which it no longer is: the answer does not change with every client.
const CLEAR_PERCENT: u64 = 80;

/// With `scaling`, a gateway that cannot have as many as it shall carry is told at once; whoever decides on the number, one that
/// has nearly as many as it can have.
pub(super) fn capacity(cluster: &ChatCluster, outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::CapacityLimited;
    let limited = outcome.current.and_then(|current| {
        let (fleet, size) = (current.fleet, current.cluster.course.size);
        too_small(fleet, size).or_else(|| close(fleet, was_limited(cluster)))
    });
    match limited {
        Some((reason, message)) => Condition::new(TYPE, Some(true), reason, message),
        None => Condition::new(
            TYPE,
            Some(false),
            "WithinLimit",
            "no gateway shall carry more than it can have",
        ),
    }
}

type Limited = (&'static str, String);

fn too_small(fleet: &Fleet, size: Size) -> Option<Limited> {
    let Size::Automatic(automatic) = size else {
        return None;
    };
    let wanted = automatic.ceilings.connections;
    let (limit, pod) = fleet.gateways().filter_map(limit).min()?;
    (wanted > limit).then(|| {
        let message = format!(
            "scaling.connectionsPerGateway is {wanted}, but the limit of open files allows gateway {pod} {} connections; \
             more gateways are made instead",
            rounded(limit)
        );
        ("FileLimit", message)
    })
}

fn close(fleet: &Fleet, was_limited: bool) -> Option<Limited> {
    let percent = if was_limited { CLEAR_PERCENT } else { CLOSE_PERCENT };
    let is_close = |gateway: &&Gateway| {
        let limit = limit(gateway).map(|(limit, _)| limit.saturating_mul(percent));
        limit.is_some_and(|limit| gateway.connections().saturating_mul(100) >= limit)
    };
    let close = fleet.gateways().filter(is_close);
    // One and the same while it lasts.
    let (limit, pod) = close.filter_map(limit).min_by_key(|(_, pod)| *pod)?;
    let message = format!(
        "gateway {pod} is close to the {} connections that its limit of open files allows; further ones are refused there",
        rounded(limit)
    );
    Some(("FileLimitClose", message))
}

fn limit(gateway: &Gateway) -> Option<(u64, &str)> {
    let sample = gateway.sample.as_ref()?;
    Some((sample.connection_limit, gateway.pod.as_str()))
}

fn was_limited(cluster: &ChatCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let mut limited = conditions.filter(|old| old.type_ == ConditionType::CapacityLimited.name());
    limited.any(|old| old.status == "True")
}

pub(super) fn rebalance(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::RebalanceStopped;
    let last = outcome
        .current
        .and_then(|current| current.steering.sizing.memory.shed);
    match last.filter(LastShed::is_given_up) {
        Some(last) => Condition::new(
            TYPE,
            Some(true),
            "ShedInVain",
            format!(
                "the fullest gateway stays {} percent above the mean: clients that are shed come back to it. What is in front of the \
                 gateways has to choose them by chance; then turn rebalance off and on",
                last.skew_percent
            ),
        ),
        None => Condition::new(
            TYPE,
            Some(false),
            "NotStopped",
            "connections are spread, or need not be",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        fleet::tests::{revision, serving, silent},
        scaling::{Automatic, Ceilings},
    };

    fn with(gateways: &[(u64, u64)]) -> Fleet {
        let gateways = gateways.iter().enumerate();
        let gateways = gateways.map(|(number, (connections, limit))| {
            let mut gateway = serving(&format!("g-{number}"), *connections);
            gateway.sample.get_or_insert_default().connection_limit = *limit;
            gateway
        });
        Fleet {
            current: revision("r", gateways.collect()),
            former: vec![],
        }
    }

    #[test]
    fn a_gateway_that_is_nearly_full_is_named_whoever_decides_on_the_number() {
        let named = |connections, was| close(&with(&[(10, 1_000), (connections, 1_000), (950, 1_000)]), was);
        for (connections, was_limited, pod) in [
            (899, false, "g-2"),
            (900, false, "g-1"),
            (2_000, false, "g-1"),
            (800, true, "g-1"),
            (799, true, "g-2"),
        ] {
            let (reason, message) = named(connections, was_limited).unwrap();
            let expected = format!("gateway {pod} is close to the 1000 connections");
            assert!(message.starts_with(&expected), "{connections}: {message}");
            assert_eq!(reason, "FileLimitClose");
        }
        assert_eq!(close(&with(&[(899, 1_000)]), false), None);
        let mut nothing_known = with(&[(900, 1_000)]);
        nothing_known.current.gateways = vec![silent(serving("g", 900))];
        assert_eq!(close(&nothing_known, true), None);
    }

    #[test]
    fn the_gateway_that_cannot_have_what_it_shall_carry_is_named() {
        let automatic = |connections| {
            Size::Automatic(Automatic {
                min: 1,
                max: 9,
                ceilings: Ceilings {
                    connections,
                    ..Ceilings::default()
                },
                window: Duration::ZERO,
            })
        };
        let fleet = with(&[(1, 100_000), (1, 870)]);
        let (reason, message) = too_small(&fleet, automatic(1_000)).unwrap();
        assert_eq!(reason, "FileLimit");
        assert!(message.contains("gateway g-1 870 connections"), "{message}");
        assert_eq!(too_small(&fleet, automatic(870)), None);
        assert_eq!(too_small(&fleet, Size::Fixed(2)), None);
    }
}
