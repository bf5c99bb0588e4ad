//! What the documents for contributors and for the worried say is there.

use std::collections::BTreeSet;

use super::{root, text};

#[test]
fn whatever_they_point_to_is_in_the_repository() {
    for document in [".github/SECURITY.md", ".github/CONTRIBUTING.md"] {
        let text = text(document);
        let code = text.split('`').skip(1).step_by(2);
        let is_path = |word: &&str| {
            let first = word.split('/').next().unwrap();
            word.contains('/') && ["adapters", "deploy", "migrations", "tests"].contains(&first)
        };
        let words = code.filter_map(|code| code.split_whitespace().next());
        let paths: BTreeSet<_> = words.filter(is_path).collect();
        assert!(paths.len() > 2, "{document}: {paths:?}");
        for path in paths {
            assert!(root().join(path).exists(), "{document}: there is no {path}");
        }
    }
}

#[test]
fn the_licence_is_whole() {
    let licence = text("LICENSE");
    let mut lines = licence.lines().map(str::trim).filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some("Apache License"));
    assert_eq!(lines.next_back(), Some("limitations under the License."));
    for part in ["9. Accepting Warranty", "END OF TERMS AND CONDITIONS", "[yyyy]"] {
        assert!(licence.contains(part), "{part}");
    }
    assert_eq!(env!("CARGO_PKG_LICENSE"), "Apache-2.0");
}
