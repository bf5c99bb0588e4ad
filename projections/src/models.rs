//! Every read model there is.

use std::sync::Arc;

use thiserror::Error;

use crate::balance::Balance;
use crate::fraud::Fraud;
use crate::history::History;
use crate::read_model::Projection;
use crate::stats::Stats;

/// What names no read model at all.
pub const NONE: &str = "none";

/// A name that no read model has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is no read model: there are {}, or `{NONE}`", .there_are.join(", "))]
pub struct UnknownModel {
    /// That name.
    pub name: String,
    /// Those that there are.
    pub there_are: Vec<&'static str>,
}

/// The read models, each to be run in every partition.
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Balance), Arc::new(History), Arc::new(Stats), Arc::new(Fraud)]
}

/// Those whose names are in a list with commas between, in the order of [`all`]; [`NONE`] by itself
/// is the list of no names.
///
/// # Errors
/// [`UnknownModel`] for the first name that is none of theirs.
pub fn named(list: &str) -> Result<Vec<Arc<dyn Projection>>, UnknownModel> {
    let names: Vec<_> = list.split(',').map(str::trim).collect();
    if names == [NONE] {
        return Ok(Vec::new());
    }
    let mut models = all();
    let is_known = |name: &str| models.iter().any(|model| model.name() == name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let there_are = models.iter().map(|model| model.name()).collect();
        return Err(UnknownModel { name: (*name).to_owned(), there_are });
    }
    models.retain(|model| names.contains(&model.name()));
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(list: &str) -> Result<Vec<&'static str>, String> {
        let models = named(list).map_err(|error| error.to_string())?;
        Ok(models.iter().map(|model| model.name()).collect())
    }

    #[test]
    fn read_models_are_found_by_their_names_each_once() {
        assert_eq!(names_of("history").unwrap(), ["history"]);
        assert_eq!(names_of("fraud, balance,fraud").unwrap(), ["balance", "fraud"]);
        assert_eq!(names_of("none").unwrap(), [""; 0]);
    }

    #[test]
    fn a_name_that_is_no_read_model_is_refused_with_those_that_are() {
        for (list, name) in [("balance,histroy", "histroy"), ("", ""), ("none,stats", "none")] {
            let expected = format!(
                "`{name}` is no read model: there are balance, history, stats, fraud, or `none`"
            );
            assert_eq!(names_of(list), Err(expected), "{list}");
        }
    }
}
