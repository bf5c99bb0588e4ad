//! The series of a figure that is recorded with every request.
//!
//! To find a series by its labels, OpenTelemetry hashes all of their names and values, once for each
//! reader: that was half of what figures cost. So a series is bound the first time, and afterwards found
//! by a name and what else it differs in.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// All series of one figure. `B` is a bound instrument, cheap to clone.
pub(super) struct Series<L, B>(RwLock<ByName<L, B>>);

/// For each name (a route, a command) those that differ in `L`, of which there are few (a status, a
/// reason).
type ByName<L, B> = HashMap<Box<str>, Vec<(L, B)>>;

impl<L, B> Default for Series<L, B> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<L: PartialEq, B: Clone> Series<L, B> {
    /// The one of these labels, bound if it is the first time.
    pub(super) fn of(&self, name: &str, labels: L, bind: impl FnOnce() -> B) -> B {
        let is_this = |(known, _): &&(L, B)| *known == labels;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bound)) = known.get(name).and_then(|all| all.iter().find(is_this)) {
            return bound.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = known.entry(name.into()).or_default();
        // Another may have come first.
        if let Some((_, bound)) = all.iter().find(is_this) {
            return bound.clone();
        }
        let bound = bind();
        all.push((labels, bound.clone()));
        bound
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_series_is_bound_once_and_told_from_others() {
        let (series, binds) = (Series::default(), Cell::new(0));
        let of = |name, status: u16| {
            series.of(name, status, || {
                binds.set(binds.get() + 1);
                binds.get()
            })
        };
        let first = [of("/wallets", 201), of("/wallets", 404), of("/transfers", 201), of("", 404)];
        assert_eq!(first, [1, 2, 3, 4]);
        assert_eq!([of("/wallets", 201), of("/wallets", 404), of("/transfers", 201)], [1, 2, 3]);
        assert_eq!(binds.get(), 4);
    }
}
