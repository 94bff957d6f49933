//! What the gateways of a cluster say of the bus, put together.

use std::collections::BTreeMap;

use super::Fleet;

/// What the gateways say of the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusView {
    /// Gateways that said lately how they are.
    pub answered: usize,
    /// Those of them that are not connected, by name of the pod.
    pub without: Vec<String>,
    /// The first of them that is ready: it was connected before.
    lost: Option<String>,
    /// Durable namespaces in which nothing can be stored, by name: how many of the connected gateways say so, and why.
    pub unusable: BTreeMap<String, (usize, String)>,
}

impl BusView {
    /// Gateways of every revision count: clients do not care which one serves them.
    pub fn of(fleet: &Fleet) -> Self {
        let mut view = Self::default();
        for gateway in fleet.gateways() {
            let Some(sample) = &gateway.sample else { continue };
            view.answered += 1;
            if sample.bus_up {
                view.refused(&sample.namespaces);
                continue;
            }
            if view.lost.is_none() && gateway.is_ready() {
                view.lost = Some(gateway.pod.clone());
            }
            view.without.push(gateway.pod.clone());
        }
        view.without.sort();
        view
    }

    fn refused(&mut self, namespaces: &BTreeMap<String, String>) {
        for (name, why) in namespaces {
            let (count, _) = self
                .unusable
                .entry(name.clone())
                .or_insert_with(|| (0, why.clone()));
            *count += 1;
        }
    }

    /// No gateway that answered is connected.
    pub fn is_down(&self) -> bool {
        self.answered > 0 && self.connected() == 0
    }

    pub fn connected(&self) -> usize {
        self.answered - self.without.len()
    }

    /// For people.
    pub fn counted(&self) -> String {
        let (connected, answered) = (self.connected(), self.answered);
        format!("{connected} of {answered} gateways are connected to NATS")
    }

    /// Why connections had better stay where they are: clients that are cut now could not join their rooms again. A gateway
    /// that starts and is not connected yet is no reason.
    pub fn hold(&self) -> Option<String> {
        if self.is_down() {
            return Some(format!("bus down: {}", self.counted()));
        }
        let lost = self.lost.as_ref()?;
        Some(format!("bus down: gateway {lost} is not connected to NATS"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{
        Gateway,
        tests::{revision, serving, silent, starting},
    };

    fn without(gateway: Gateway) -> Gateway {
        let mut gateway = gateway;
        let sample = gateway.sample.get_or_insert_default();
        sample.bus_up = false;
        gateway
    }

    fn view(gateways: Vec<Gateway>) -> BusView {
        BusView::of(&Fleet {
            current: revision("r", gateways),
            former: vec![],
        })
    }

    #[test]
    fn only_those_who_answered_are_counted() {
        let all = view(vec![serving("a", 1), silent(serving("b", 1))]);
        assert_eq!((all.answered, all.is_down(), all.hold()), (1, false, None));
        let none = view(vec![silent(serving("a", 1)), starting("b")]);
        assert_eq!((none.answered, none.is_down(), none.hold()), (0, false, None));
        let down = view(vec![without(serving("a", 1)), without(starting("b"))]);
        assert_eq!(
            down.hold().unwrap(),
            "bus down: 0 of 2 gateways are connected to NATS"
        );
    }

    #[test]
    fn one_that_starts_holds_nothing_and_one_that_lost_the_bus_does() {
        let starts = view(vec![serving("a", 1), without(starting("b"))]);
        assert_eq!((starts.without.len(), starts.hold()), (1, None));
        let lost = view(vec![serving("a", 1), without(serving("b", 1))]);
        assert_eq!(
            lost.hold().unwrap(),
            "bus down: gateway b is not connected to NATS"
        );
    }
}
