//! What the host wrote down, as the broker holds it.

use std::time::Duration;

use serde_json::Value;
use stint_lab::poll;

use crate::error::E2eError;
use crate::fleet::{Fleet, HOST};

const BOUND: Duration = stint_lab::PATIENCE;

/// The lines of the host's record.
pub(super) fn lines(fleet: &Fleet) -> Result<Vec<String>, E2eError> {
    // Whatever comes of the verification: a record that does not verify is shown too, and some cases break it.
    let told = fleet.carol.stint(&["audit", "ls", "--host", HOST])?;
    Ok(told.text().lines().map(str::to_owned).collect())
}

/// Whether a record has all of these words, within a bound.
pub(super) fn has(fleet: &Fleet, words: &[&str], bound: Duration) -> bool {
    let found = || lines(fleet).is_ok_and(|all| all.iter().any(|line| has_all(line, words)));
    poll("a record", bound, || found().then_some(())).is_ok()
}

/// What the record is alarmed of, for whoever looks for something else in vain.
pub(super) fn alarms(fleet: &Fleet) -> String {
    let lines = lines(fleet).unwrap_or_default();
    lines
        .iter()
        .filter(|line| line.to_lowercase().contains("alarm"))
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" / ")
}

/// What a receipt says.
#[derive(Debug, Default)]
pub(super) struct Receipt {
    /// What was taken away or put back, one each.
    pub(super) undone: Vec<String>,
    /// What was reported, not looked at, or could not be excluded, one each.
    pub(super) told: Vec<String>,
}

/// The receipt of a grant. Nothing if the broker gets none.
pub(super) fn receipt(fleet: &Fleet, grant: &str) -> Option<Receipt> {
    poll("the receipt", BOUND, || {
        let told = fleet.carol.stint(&["--output", "json", "audit", "ls", "--host", HOST]).ok()?;
        let records = told.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = records.filter_map(|record| receipt_in(&record, grant)).next_back()?;
        Some(Receipt {
            undone: lines_of(&found, &["removed", "restored"]),
            told: lines_of(&found, &["reported", "not_excluded", "not_scanned"]),
        })
    })
    .ok()
}

/// The receipt in a record, wherever the record keeps its event.
fn receipt_in(record: &Value, grant: &str) -> Option<Value> {
    let fields = record.as_object()?;
    if fields.get("not_excluded").is_some() && fields.get("grant").and_then(Value::as_str) == Some(grant) {
        return Some(record.clone());
    }
    fields.values().find_map(|value| receipt_in(value, grant))
}

fn lines_of(receipt: &Value, lists: &[&str]) -> Vec<String> {
    let items = lists.iter().filter_map(|list| receipt[*list].as_array()).flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether all of these words stand in a line.
pub(super) fn has_all(line: &str, words: &[&str]) -> bool {
    words.iter().all(|word| line.contains(word))
}
