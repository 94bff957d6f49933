//! Expressions of a namespace in CEL (<https://cel.dev>): true permits, and all else, errors too, does not.
//!
//! They are the configuration's, what they look at is a client's: so an expression is bounded when it is read ([`check`]) and its
//! inputs when it is evaluated. Loops go over one list and look at nothing else that may be large, and no value grows by more
//! than a few additions; the dearest expression over the largest claims takes a few milliseconds.

mod check;
mod facts;
mod functions;

#[cfg(test)]
mod tests;

use std::{fmt, thread};

use cel::{
    Context, Value,
    parser::{Expression as Node, Parser},
};

pub use self::facts::Facts;
use self::{check::Uses, functions::ROOT};

/// Longest expression in bytes.
const MAX_LENGTH: usize = 1024;
/// Nested brackets and conditions.
const MAX_NESTING: u16 = 16;
/// Stack of the thread that reads an expression: the grammar has a dozen functions for each level, and a chain of members is as
/// deep as it is long.
const STACK: usize = 16 << 20;

/// An expression that was read and found good.
pub struct Expression {
    node: Node,
    uses: Uses,
}

/// Why a text is no expression that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("longer than 1024 bytes")]
    TooLong,
    /// Where, and what the parser says.
    #[error("no CEL: {0}")]
    Syntax(String),
    #[error("there is no variable {0:?}")]
    Variable(String),
    #[error("there is no function {0:?}")]
    Function(String),
    #[error("{name:?} takes {takes}")]
    Arguments { name: String, takes: &'static str },
    #[error("{0}")]
    Refused(&'static str),
}

/// Why an expression says neither yes nor no; whoever asked is refused. Without values, which are a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("what it looks at is not there")]
    Missing,
    #[error("a value is of another type than it takes")]
    Type,
    #[error("its value is neither true nor false")]
    NoAnswer,
    #[error("the user, meta or claims are larger than it may look at")]
    TooLarge,
}

impl Expression {
    /// Reads an expression and checks all that can be known without a client.
    pub fn new(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            return Err(ExpressionError::TooLong);
        }
        let text = text.to_owned();
        // The parser is the library's and goes down for every level of the text: neither its depth nor a panic may end more
        // than this thread. What is handed out is shallow.
        let reader = thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || read(&text));
        let read = reader.ok().and_then(|reader| reader.join().ok());
        read.unwrap_or_else(|| Err(ExpressionError::Syntax("not understood".to_owned())))
    }

    /// Whether it looks at the claims of the connection's token.
    pub fn uses_claims(&self) -> bool {
        self.uses.claims
    }

    /// Whether it looks at what is said of the connection for backends.
    pub fn uses_meta(&self) -> bool {
        self.uses.meta
    }

    /// Whether it permits.
    pub fn permits(&self, facts: &Facts<'_>) -> Result<bool, Unanswered> {
        let mut context: Context<'_> = ROOT.new_inner_scope();
        facts.describe(&mut context, self.uses)?;
        match context.resolve(&self.node) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(_) => Err(Unanswered::NoAnswer),
            Err(error) => Err(error.into()),
        }
    }
}

fn read(text: &str) -> Result<Expression, ExpressionError> {
    let parsed = Parser::new().max_recursion_depth(MAX_NESTING).parse(text);
    let mut node = parsed.map_err(|errors| {
        let first = errors.errors.first();
        let (message, (line, column)) =
            first.map_or(("not understood", (1, 0)), |error| (&error.msg, error.pos));
        let message = message.lines().next().unwrap_or_default();
        ExpressionError::Syntax(format!("line {line}, column {column}: {message}"))
    })?;
    let uses = check::check(&mut node)?;
    Ok(Expression { node, uses })
}

impl From<cel::ExecutionError> for Unanswered {
    fn from(error: cel::ExecutionError) -> Self {
        use cel::ExecutionError::{IndexOutOfBounds, NoSuchKey};
        match error {
            NoSuchKey(_) | IndexOutOfBounds(_) => Self::Missing,
            _ => Self::Type,
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression")
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}
