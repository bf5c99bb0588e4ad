//! Every setting for people to look up: the table of the README, and a file of every variable.

use super::setting::{Setting, Settings};

/// So many verbs are named in the table; where more take a setting, the first of them.
const NAMED_VERBS: usize = 4;

/// A table of every setting by key, in Markdown.
pub fn table(settings: &Settings) -> String {
    let rows = settings.iter().map(row);
    let head = "| key, flag | variable | unless said | of | |\n|---|---|---|---|---|\n".to_owned();
    rows.fold(head, |table, row| table + &row)
}

fn row(setting: &Setting) -> String {
    let key = match setting.is_in_file() {
        true => format!("`{}`", setting.key),
        false => format!("`--{}`", setting.key),
    };
    let default = setting.default().map_or_else(String::new, |text| format!("`{text}`"));
    let (variable, verbs) = (&setting.variable, verbs(&setting.verbs));
    // A bar would be the end of a cell.
    let meaning = setting.meaning().replace('|', "\\|");
    format!("| {key} | `{variable}` | {default} | {verbs} | {meaning} |\n")
}

fn verbs(verbs: &[String]) -> String {
    match verbs.get(NAMED_VERBS..) {
        Some([_, ..]) => format!("{} …", verbs[..NAMED_VERBS].join(", ")),
        Some([]) | None => verbs.join(", "),
    }
}

/// A file for the environment with every variable, none of them set.
pub fn env_file(settings: &Settings) -> String {
    let head = "# Every variable of Florin with its default; what has nothing after its = has none.\n\
                # To set one, take the # before it away. Made by `florin config --env-example`.\n";
    settings.iter().fold(head.to_owned(), |file, setting| {
        let default = setting.default().unwrap_or_default();
        let verbs = match &*verbs(&setting.verbs) {
            "" => String::new(),
            verbs => format!(" [{verbs}]"),
        };
        let meaning = setting.meaning().replace('`', "");
        file + &format!("\n# {meaning}{verbs}\n#{}={default}\n", setting.variable)
    })
}
