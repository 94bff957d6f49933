//! What an expression may be, found out when the configuration is read.
//!
//! Every node costs one; what copies or searches whole values costs more. A loop (`all`, `exists`, `exists_one`) stands in no
//! other one, and inside it only its own variable and short texts are looked at: so the work is bounded by the expression
//! times the size of its inputs, and never by a power of that.

use cel::{
    common::ast::{
        CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr,
        operators::{
            ADD, CONDITIONAL, DIVIDE, EQUALS, GREATER, GREATER_EQUALS, IN, INDEX, LESS, LESS_EQUALS,
            LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, MODULO, MULTIPLY, NEGATE, NOT_EQUALS, NOT_STRICTLY_FALSE,
            SUBSTRACT,
        },
    },
    parser::Expression as Node,
};

use super::{ExpressionError, functions::FUNCTIONS};
use crate::permission::pattern;

/// What all nodes of an expression may cost.
const MAX_COST: usize = 128;
/// Of an addition, which may copy, and of a search.
const DEAR: usize = 8;
/// What is done for every element of a list costs so many times as much.
const REPEATED: usize = 4;
/// Nodes below each other.
const MAX_DEPTH: usize = 32;

const OPERATORS: [&str; 18] = [
    CONDITIONAL,
    LOGICAL_AND,
    LOGICAL_OR,
    LOGICAL_NOT,
    SUBSTRACT,
    MULTIPLY,
    DIVIDE,
    MODULO,
    EQUALS,
    NOT_EQUALS,
    GREATER_EQUALS,
    LESS_EQUALS,
    GREATER,
    LESS,
    NEGATE,
    INDEX,
    IN,
    NOT_STRICTLY_FALSE,
];
const TEXTS: [&str; 3] = ["user", "channel", "namespace"];

/// Which of the larger facts an expression looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    pub(super) meta: bool,
    pub(super) claims: bool,
}

/// The variables of a loop.
struct Loop {
    item: String,
    result: String,
}

struct Checker {
    uses: Uses,
    cost: usize,
    around: Option<Loop>,
}

/// Refuses what is not taken, and makes of a member of a value its element of that name: asked for a member of what has none,
/// the library says false, which a `!` turns into a yes.
pub(super) fn check(node: &mut Node) -> Result<Uses, ExpressionError> {
    let mut checker = Checker {
        uses: Uses::default(),
        cost: 0,
        around: None,
    };
    checker.node(node, 0)?;
    if is_no_answer(&node.expr) {
        return Err(ExpressionError::Refused("never true or false"));
    }
    Ok(checker.uses)
}

/// Whether the whole can be seen to be neither true nor false.
fn is_no_answer(expr: &Expr) -> bool {
    const VALUES: [&str; 9] = [
        ADD, SUBSTRACT, MULTIPLY, DIVIDE, MODULO, NEGATE, "size", "int", "string",
    ];
    match expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::Ident(name) => name != "subscribed",
        Expr::List(_) => true,
        Expr::Call(call) => VALUES.contains(&call.func_name.as_str()),
        _ => false,
    }
}

impl Checker {
    fn node(&mut self, node: &mut IdedExpr, depth: usize) -> Result<(), ExpressionError> {
        self.pay(1)?;
        if depth >= MAX_DEPTH {
            return Err(ExpressionError::Refused("more than 32 levels deep"));
        }
        if let Expr::Select(select) = &mut node.expr
            && !select.test
        {
            node.expr = element(std::mem::take(select));
        }
        let below = depth + 1;
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.node(&mut select.operand, below),
            Expr::Call(call) => self.call(call, below),
            Expr::List(ListExpr { elements, .. }) => self.all(elements, below),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, below),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(ExpressionError::Refused("maps and messages are not made here"))
            }
        }
    }

    fn all(&mut self, nodes: &mut [IdedExpr], depth: usize) -> Result<(), ExpressionError> {
        nodes.iter_mut().try_for_each(|node| self.node(node, depth))
    }

    fn pay(&mut self, price: usize) -> Result<(), ExpressionError> {
        self.cost += if self.around.is_some() {
            price * REPEATED
        } else {
            price
        };
        if self.cost > MAX_COST {
            return Err(ExpressionError::Refused(
                "too long to be evaluated for every command",
            ));
        }
        Ok(())
    }

    fn variable(&mut self, name: &str) -> Result<(), ExpressionError> {
        if let Some(around) = &self.around {
            let is_own = name == around.item || name == around.result;
            if is_own || TEXTS.contains(&name) || name == "subscribed" {
                return Ok(());
            }
            if name == "meta" || name == "claims" {
                return Err(ExpressionError::Refused(
                    "inside a loop only its own variable, user, channel, namespace and subscribed are looked at",
                ));
            }
        }
        match name {
            "meta" => self.uses.meta = true,
            "claims" => self.uses.claims = true,
            "subscribed" => {}
            name if TEXTS.contains(&name) => {}
            _ => return Err(ExpressionError::Variable(name.to_owned())),
        }
        Ok(())
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<(), ExpressionError> {
        let name = call.func_name.as_str();
        if name == ADD {
            self.pay(DEAR)?;
        } else if !OPERATORS.contains(&name) {
            self.function(call)?;
        }
        if let Some(target) = &mut call.target {
            self.node(target, depth)?;
        }
        self.all(&mut call.args, depth)
    }

    fn function(&mut self, call: &CallExpr) -> Result<(), ExpressionError> {
        let name = call.func_name.as_str();
        let known = FUNCTIONS.iter().find(|(known, _)| *known == name);
        let Some((_, values)) = known else {
            return Err(match name {
                "map" | "filter" => {
                    ExpressionError::Refused("map and filter are not here: say it with exists or all")
                }
                _ => ExpressionError::Function(name.to_owned()),
            });
        };
        if call.args.len() + usize::from(call.target.is_some()) != *values {
            return Err(ExpressionError::Arguments {
                name: name.to_owned(),
                takes: if *values == 1 { "one value" } else { "two values" },
            });
        }
        if name == "matches" {
            self.pay(DEAR)?;
            let is_good = match call.args.last().map(|pattern| &pattern.expr) {
                Some(Expr::Literal(LiteralValue::String(text))) => pattern::is_good(text.inner()),
                _ => false,
            };
            if !is_good {
                return Err(ExpressionError::Refused(
                    "matches takes a regular expression that is written out, and a small one",
                ));
            }
        }
        Ok(())
    }

    fn comprehension(&mut self, loops: &mut ComprehensionExpr, depth: usize) -> Result<(), ExpressionError> {
        if self.around.is_some() {
            return Err(ExpressionError::Refused("a loop inside another one"));
        }
        if matches!(loops.accu_init.expr, Expr::List(_)) {
            return Err(ExpressionError::Refused(
                "map and filter are not here: say it with exists or all",
            ));
        }
        self.node(&mut loops.iter_range, depth)?;
        self.node(&mut loops.accu_init, depth)?;
        self.around = Some(Loop {
            item: loops.iter_var.clone(),
            result: loops.accu_var.clone(),
        });
        self.node(&mut loops.loop_cond, depth)?;
        self.node(&mut loops.loop_step, depth)?;
        self.node(&mut loops.result, depth)?;
        self.around = None;
        Ok(())
    }
}

/// `a.b` as `a["b"]`.
fn element(select: SelectExpr) -> Expr {
    let name = IdedExpr {
        id: select.operand.id,
        expr: Expr::Literal(LiteralValue::String(select.field.as_str().into())),
    };
    Expr::Call(CallExpr {
        func_name: INDEX.to_owned(),
        target: None,
        args: vec![*select.operand, name],
    })
}
