//! Sheds that are in the way of something else.

use crate::fleet::{Action, Fleet, Gateway};

/// Ends every shed that is under way; until none is, drains wait. A cordon ends one as well, so a gateway that something is
/// about to happen to is left to that.
pub(super) fn end(fleet: &Fleet, actions: &mut Vec<Action>) {
    let sheds: Vec<_> = fleet.gateways().filter(|gateway| sheds(gateway)).collect();
    if sheds.is_empty() {
        return;
    }
    actions.retain(|action| !matches!(action, Action::Drain { .. }));
    for gateway in sheds {
        let pod = gateway.pod.clone();
        if actions.iter().all(|action| action.pod() != Some(pod.as_str())) {
            actions.push(if gateway.leaving.is_some() {
                Action::Pause { pod }
            } else {
                Action::Accept { pod }
            });
        }
    }
}

fn sheds(gateway: &Gateway) -> bool {
    gateway.sample.as_ref().is_some_and(|sample| sample.shedding > 0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::fleet::{
        Why,
        tests::{cordoned, revision, serving},
    };

    fn shedding(gateway: Gateway) -> Gateway {
        let mut gateway = gateway;
        gateway.sample.get_or_insert_default().shedding = 500;
        gateway
    }

    #[test]
    fn nobody_is_drained_beside_a_shed() {
        let drain = Action::Drain {
            pod: "b".to_owned(),
            rate: 10.0,
            until: Timestamp::MAX,
        };
        let cordon = |pod: &str| Action::Cordon {
            pod: pod.to_owned(),
            why: Why::Roll,
        };
        let pod = || "a".to_owned();
        for (case, gateway, before, after) in [
            (
                "nobody sheds",
                serving("a", 1_000),
                vec![drain.clone()],
                vec![drain.clone()],
            ),
            (
                "it is ended",
                shedding(serving("a", 1_000)),
                vec![drain.clone()],
                vec![Action::Accept { pod: pod() }],
            ),
            (
                "its cordon ends it",
                shedding(serving("a", 1_000)),
                vec![cordon("a"), drain.clone()],
                vec![cordon("a")],
            ),
            (
                "the cordon was not heard",
                shedding(cordoned("a", 9, Why::Roll, -9)),
                vec![],
                vec![Action::Pause { pod: pod() }],
            ),
            (
                "the cordon of another one goes on",
                shedding(serving("a", 1_000)),
                vec![cordon("b")],
                vec![cordon("b"), Action::Accept { pod: pod() }],
            ),
        ] {
            let fleet = Fleet {
                current: revision("r", vec![gateway, serving("b", 1)]),
                former: vec![],
            };
            let mut actions = before;
            end(&fleet, &mut actions);
            assert_eq!(actions, after, "{case}");
        }
    }
}
