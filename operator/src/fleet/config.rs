//! Whether the gateways of the current revision have taken the configuration that they shall have. What a running gateway can
//! take over reaches it through its `ConfigMap`, minutes later, and it may refuse.

use super::{ConfigState, Fleet, Gateway};

/// How far a configuration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigView {
    /// Gateways of the current revision that said lately how they are.
    pub answered: usize,
    /// Those of them that have it.
    pub taken: usize,
    /// What needs a person: the reason, and a text that names the gateway.
    pub problem: Option<(&'static str, String)>,
}

impl ConfigView {
    pub fn of(fleet: &Fleet) -> Self {
        let mut view = Self::default();
        for gateway in &fleet.current.gateways {
            let Some(sample) = &gateway.sample else { continue };
            view.answered += 1;
            view.taken += usize::from(sample.config == ConfigState::InForce);
            if view.problem.is_none() {
                view.problem = problem(gateway, &sample.config);
            }
        }
        view
    }

    /// Whether every gateway that answered has it.
    pub fn is_complete(&self) -> bool {
        self.taken == self.answered
    }
}

fn problem(gateway: &Gateway, state: &ConfigState) -> Option<(&'static str, String)> {
    let pod = &gateway.pod;
    match state {
        ConfigState::InForce | ConfigState::Awaited => None,
        ConfigState::Late => Some((
            "ConfigNotTaken",
            format!("gateway {pod} still runs a former configuration and does not say why"),
        )),
        ConfigState::Refused(error) => Some((
            "ConfigRefused",
            format!("gateway {pod} refused its last configuration: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::{revision, serving, silent};

    #[test]
    fn the_first_gateway_with_a_problem_is_named() {
        let with = |pod: &str, config| {
            let mut gateway = serving(pod, 1);
            gateway.sample.get_or_insert_default().config = config;
            gateway
        };
        let view = |gateways| {
            ConfigView::of(&Fleet {
                current: revision("r", gateways),
                former: vec![],
            })
        };
        let spreading = view(vec![
            serving("a", 1),
            with("b", ConfigState::Awaited),
            silent(serving("c", 1)),
        ]);
        assert_eq!((spreading.taken, spreading.answered), (1, 2));
        assert!(!spreading.is_complete() && spreading.problem.is_none());
        let refused = view(vec![
            serving("a", 1),
            with("b", ConfigState::Refused("no".to_owned())),
            with("c", ConfigState::Late),
        ]);
        let text = "gateway b refused its last configuration: no".to_owned();
        assert_eq!(refused.problem, Some(("ConfigRefused", text)));
        assert!(view(vec![]).is_complete());
    }
}
