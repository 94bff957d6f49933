//! The filter of a subscription. It is a tree, so what reading it may cost has bounds of its own, above those of any
//! filter that is taken: what exceeds them stands as an unreadable filter, as in JSON, and is not read on.

use std::borrow::Cow;

use super::{
    reader::{Field, Reader},
    requests::Merge,
};
use crate::{decode::DecodeError, filter::FilterNode};

/// Nodes below one another.
const MAX_DEPTH: usize = 32;
/// Nodes and values of a filter.
const MAX_ITEMS: usize = 1024;

/// A filter that is there twice replaces the first: merged trees would be nobody's filter.
impl<'a> Merge<'a> for Option<FilterNode<'a>> {
    fn merge_from(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        let mut items = MAX_ITEMS;
        *self = Some(match node(field.message()?, MAX_DEPTH, &mut items) {
            Ok(node) => node,
            Err(Stop::TooLarge) => FilterNode::unreadable(),
            Err(Stop::Malformed(error)) => return Err(error),
        });
        Ok(())
    }
}

/// Why a filter is not read on.
enum Stop {
    Malformed(DecodeError),
    TooLarge,
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// Reads a node that may have so many `levels` below it, and takes what is under it from the `items` that are left.
fn node<'a>(mut fields: Reader<'a>, levels: usize, items: &mut usize) -> Result<FilterNode<'a>, Stop> {
    let mut node = FilterNode::default();
    while let Some(field) = fields.field()? {
        match field.number {
            1 => node.op.merge_from(&field)?,
            2 => node.key.merge_from(&field)?,
            3 => node.cmp.merge_from(&field)?,
            4 => node.val.merge_from(&field)?,
            5 => {
                take_one(items)?;
                node.vals.push(Cow::Borrowed(field.text()?));
            }
            6 => {
                take_one(items)?;
                let levels = levels.checked_sub(1).ok_or(Stop::TooLarge)?;
                node.nodes.push(self::node(field.message()?, levels, items)?);
            }
            _ => {}
        }
    }
    Ok(node)
}

fn take_one(items: &mut usize) -> Result<(), Stop> {
    *items = items.checked_sub(1).ok_or(Stop::TooLarge)?;
    Ok(())
}
