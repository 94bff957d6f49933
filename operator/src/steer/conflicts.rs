//! Actions that contradict each other.

use std::collections::HashSet;

use crate::fleet::Action;

/// A gateway that is taken out of the Service is not put back into it as well: both are carried out at the same time, and either
/// could be the last.
pub(super) fn resolve(actions: &mut Vec<Action>) {
    let cordoned: HashSet<_> = actions
        .iter()
        .filter(|action| matches!(action, Action::Cordon { .. }))
        .filter_map(Action::pod)
        .map(ToOwned::to_owned)
        .collect();
    actions.retain(|action| !matches!(action, Action::Accept { pod } if cordoned.contains(pod)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Why;

    #[test]
    fn one_that_is_taken_out_is_not_put_back() {
        let accept = |pod: &str| Action::Accept { pod: pod.to_owned() };
        let cordon = |pod: &str| Action::Cordon {
            pod: pod.to_owned(),
            why: Why::Scale,
        };
        let mut actions = vec![accept("a"), accept("b"), cordon("b"), cordon("c")];
        resolve(&mut actions);
        assert_eq!(actions, [accept("a"), cordon("b"), cordon("c")]);
    }
}
