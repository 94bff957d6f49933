//! What a connect request asks for of the rooms that it names.

use std::borrow::Cow;

use natter_protocol::{ConnectRequest, FilterNode, SubscribeRequest};

use super::Wanted;
use crate::{
    namespace::Namespace,
    session::{Wish, subscriptions::taste},
};

/// The rooms of a request, kept until it is decided who asks.
pub(super) fn wanted(request: &ConnectRequest<'_>) -> Vec<Wanted> {
    let own = |(channel, wanted): (&Cow<'_, str>, &SubscribeRequest<'_>)| Wanted {
        channel: owned(channel),
        recover: wanted.recover,
        epoch: owned(&wanted.epoch),
        offset: wanted.offset,
        positioned: wanted.positioned,
        recoverable: wanted.recoverable,
        join_leave: wanted.join_leave,
        delta: owned(&wanted.delta),
        tf: wanted.tf.as_ref().map(owned_node),
        ..Wanted::default()
    };
    request.subs.iter().map(own).collect()
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

/// Only so deep, as the decoders read no deeper.
fn owned_node(node: &FilterNode<'_>) -> FilterNode<'static> {
    FilterNode {
        op: owned(&node.op),
        key: owned(&node.key),
        cmp: owned(&node.cmp),
        val: owned(&node.val),
        vals: node.vals.iter().map(|value| owned(value)).collect(),
        nodes: node.nodes.iter().map(owned_node).collect(),
    }
}

/// A room that the server puts the client in, as the client wants it. What it may not want changes nothing.
pub(super) fn as_wanted(wish: Wish, wanted: &Wanted, namespace: &Namespace) -> Wish {
    let taste = taste(wanted, namespace).unwrap_or_default();
    let mut wish = wish.recovering(wanted, namespace).with_taste(taste);
    wish.listens |= namespace.tells_joins(wanted.join_leave);
    wish
}
