//! The table, for people: as it was found, and as it is published.

use std::fmt::Write;

use super::FAMILIES;
use super::case::{Case, Claim, Expected};
use super::report::{Found, Report, Row, Verdict};
use super::round::Round;

/// What was found, one line for each claim.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut last = None;
    for row in &report.rows {
        let (number, name) =
            if last == Some(row.case.name) { ("", "") } else { (row.case.number, row.case.name) };
        last = Some(row.case.name);
        let (verdict, answer) = (row.verdict().word(), row.claim.answer.word());
        let (grant, end) = (row.round.grant, row.round.end.word());
        let _ = writeln!(
            out,
            "{number:>4} {name:<66} {grant:<14} {end:<10} {answer:<18} {verdict:<9} {}",
            why(row)
        );
    }
    let count = |verdict| report.count(verdict);
    let _ = writeln!(
        out,
        "\n{} claims hold, {} not tried on these hosts; {} fail, {} late, {} broken",
        count(Verdict::Holds),
        count(Verdict::Cannot),
        count(Verdict::Fails),
        count(Verdict::Late),
        count(Verdict::Broken)
    );
    out
}

fn why(row: &Row) -> String {
    match (&row.found, row.claim.expected) {
        (Found::Held(Some(late)), _) => format!("{late:.1} s after the end"),
        (Found::Held(None), _) => String::new(),
        (_, Expected::Cannot(why)) => why.to_owned(),
        (Found::Late(late), _) => format!("only {late:.1} s after the end"),
        (Found::Not(what) | Found::Broken(what), _) => what.clone(),
        (Found::Untried, _) => "not tried".to_owned(),
    }
}

/// The table as it is published: what the cases claim, without a run.
pub fn markdown() -> String {
    let mut out = "| # | Technique | Grant | Ended by | Answer |\n|---|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        for round in family.rounds {
            for case in round.cases {
                line(&mut out, round, case);
            }
        }
    }
    out
}

fn line(out: &mut String, round: &Round, case: &Case) {
    let mut claims: Vec<String> = Vec::new();
    for claim in case.claims.iter().map(claimed) {
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    let (number, name, grant, end) = (case.number, case.name, round.grant, round.end.word());
    let _ = writeln!(
        out,
        "| {number} | {} | {grant} | {end} | {} |",
        name.replace('|', "\\|"),
        claims.join("; ")
    );
}

fn claimed(claim: &Claim) -> String {
    let word = claim.answer.word();
    match claim.expected {
        Expected::Holds => match claim.late {
            Some((seconds, why)) => format!("{word}, at most {seconds:.0} s late: {why}"),
            None => word.to_owned(),
        },
        Expected::Cannot(why) => format!("not tried: {why}"),
    }
}
