//! Forges in words and tables.

use pinion_client::v1;

use crate::table::Table;

/// Forges as a table.
pub(crate) fn forges(forges: &[v1::Forge]) -> Table {
    let mut table = Table::new(["NAME", "KIND", "PROJECT", "PIN SETS", "OPEN CHANGES"]);
    for forge in forges {
        table.row([
            forge.name.clone(),
            forge.kind.clone(),
            forge.project.clone(),
            forge.pin_sets.join(", "),
            forge.open_filing_count.to_string(),
        ]);
    }
    table
}

/// What a check found, a line each.
pub(crate) fn findings(findings: &[v1::Finding]) -> String {
    let widest = findings.iter().map(|finding| finding.what.chars().count());
    let widest = widest.max().unwrap_or(0);
    findings
        .iter()
        .map(|finding| {
            let state = if finding.works { "ok     " } else { "missing" };
            let pad = " ".repeat(widest - finding.what.chars().count());
            format!("{state}  {}{pad}  {}\n", finding.what, finding.words)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_below_each_other() {
        let finding = |what: &str, works, words: &str| v1::Finding {
            what: what.to_owned(),
            works,
            words: words.to_owned(),
        };
        let text = findings(&[
            finding("run git", true, "git version 2.39.5"),
            finding("push a branch", false, "no right"),
        ]);
        assert_eq!(
            text,
            "ok       run git        git version 2.39.5\nmissing  push a branch  no right\n"
        );
    }
}
