//! From a filter as it is sent to one that can be asked.

use super::{Filter, FilterNode, Node, Test};

/// Nodes above one another.
const MAX_DEPTH: usize = 16;
/// Nodes of a filter.
const MAX_NODES: usize = 64;
/// Values of a filter, in all its lists together.
const MAX_VALUES: usize = 256;
/// Bytes of a filter's keys and values together.
const MAX_BYTES: usize = 4096;

/// Why a tree is no filter: bad input (107).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("unknown op in a filter, or no filter at all")]
    Op,
    #[error("unknown cmp in a filter, or a leaf without one")]
    Cmp,
    #[error("a leaf of a filter names no key")]
    Key,
    #[error("a leaf of a filter has not the val or vals that its cmp takes")]
    Value,
    #[error("a node of a filter has not as many nodes as its op takes")]
    Nodes,
    #[error("a filter has more than {MAX_DEPTH} levels")]
    Depth,
    #[error("a filter has more than {MAX_NODES} nodes, {MAX_VALUES} values or {MAX_BYTES} bytes")]
    Size,
}

impl Filter {
    /// Judges a filter. Nodes under a leaf and values above one mean nothing and are left out.
    pub fn new(root: &FilterNode<'_>) -> Result<Self, FilterError> {
        Budget {
            nodes: MAX_NODES,
            values: MAX_VALUES,
            bytes: MAX_BYTES,
        }
        .node(root, MAX_DEPTH)
        .map(Self)
    }
}

/// What a filter may still take.
struct Budget {
    nodes: usize,
    values: usize,
    bytes: usize,
}

impl Budget {
    fn node(&mut self, node: &FilterNode<'_>, levels: usize) -> Result<Node, FilterError> {
        let levels = levels.checked_sub(1).ok_or(FilterError::Depth)?;
        self.nodes = self.nodes.checked_sub(1).ok_or(FilterError::Size)?;
        match (&*node.op, node.nodes.as_slice()) {
            ("", _) => self.leaf(node),
            ("and" | "or" | "not", []) => Err(FilterError::Nodes),
            ("and", nodes) => Ok(Node::All(self.nodes(nodes, levels)?)),
            ("or", nodes) => Ok(Node::Any(self.nodes(nodes, levels)?)),
            ("not", [node]) => Ok(Node::Not(Box::new(self.node(node, levels)?))),
            ("not", _) => Err(FilterError::Nodes),
            _ => Err(FilterError::Op),
        }
    }

    fn nodes(&mut self, nodes: &[FilterNode<'_>], levels: usize) -> Result<Box<[Node]>, FilterError> {
        nodes.iter().map(|node| self.node(node, levels)).collect()
    }

    fn leaf(&mut self, node: &FilterNode<'_>) -> Result<Node, FilterError> {
        let (is_negative, test) = self.test(node)?;
        if node.key.is_empty() && test != Test::Exists {
            return Err(FilterError::Key);
        }
        let leaf = Node::Tag {
            key: self.text(&node.key)?,
            test,
        };
        Ok(if is_negative {
            Node::Not(Box::new(leaf))
        } else {
            leaf
        })
    }

    /// The comparison of a leaf, and whether it is the opposite that is asked for.
    fn test(&mut self, node: &FilterNode<'_>) -> Result<(bool, Test), FilterError> {
        let with_value: fn(Box<str>) -> Test = match &*node.cmp {
            "ex" | "nex" if node.val.is_empty() && node.vals.is_empty() => {
                return Ok((node.cmp == "nex", Test::Exists));
            }
            "in" | "nin" if node.val.is_empty() && !node.vals.is_empty() => {
                return Ok((node.cmp == "nin", Test::IsAmong(self.values(node)?)));
            }
            "ex" | "nex" | "in" | "nin" => return Err(FilterError::Value),
            "eq" | "neq" => Test::Is,
            "sw" => Test::StartsWith,
            "ew" => Test::EndsWith,
            "ct" => Test::Contains,
            "gt" => Test::IsAbove,
            "gte" => Test::IsFrom,
            "lt" => Test::IsBelow,
            "lte" => Test::IsUpTo,
            _ => return Err(FilterError::Cmp),
        };
        if node.val.is_empty() || !node.vals.is_empty() {
            return Err(FilterError::Value);
        }
        Ok((node.cmp == "neq", with_value(self.text(&node.val)?)))
    }

    fn values(&mut self, node: &FilterNode<'_>) -> Result<Box<[Box<str>]>, FilterError> {
        self.values = self
            .values
            .checked_sub(node.vals.len())
            .ok_or(FilterError::Size)?;
        let mut values: Vec<_> = node
            .vals
            .iter()
            .map(|value| self.text(value))
            .collect::<Result<_, _>>()?;
        values.sort_unstable();
        values.dedup();
        Ok(values.into())
    }

    fn text(&mut self, text: &str) -> Result<Box<str>, FilterError> {
        self.bytes = self.bytes.checked_sub(text.len()).ok_or(FilterError::Size)?;
        Ok(text.into())
    }
}
