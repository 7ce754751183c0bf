//! The words and tables for people. Pure: data and the time in, text out.

pub(crate) mod admin;
pub(crate) mod effect;
pub(crate) mod grant;
pub(crate) mod record;
pub(crate) mod recording;
pub(crate) mod request;
pub(crate) mod rights;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod terms;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use stint_grant::time::UnixTime;

use crate::duration;

/// Text from outside, so that it cannot move the cursor, hide itself or reverse what is read.
pub(crate) fn safe(text: &str) -> String {
    stint_log::text::display_safe(text).to_string()
}

/// An instant and how far away it is: `2026-11-23 14:40:00 UTC (in 40 min)`.
pub(crate) fn when(at: i64, now: i64) -> String {
    format!("{} ({})", UnixTime(at), distance(at, now))
}

/// How far away an instant is: `in 40 min`, `2 h 5 min ago`, `now`.
pub(crate) fn distance(at: i64, now: i64) -> String {
    match at.saturating_sub(now) {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", duration::words(ahead.unsigned_abs())),
        behind => format!("{} ago", duration::words(behind.unsigned_abs())),
    }
}

/// A list with some text before it, or a line that says that there is nothing.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, nothing: &str) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

/// Lines of a name and what belongs to it, one below the other.
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }
    /// Adds a line.
    pub(crate) fn add(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }
    /// Adds a line if there is something to say.
    pub(crate) fn maybe(self, name: &'static str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.add(name, value),
            None => self,
        }
    }
    /// Adds lines, of which the first carries the name.
    pub(crate) fn lines(mut self, name: &'static str, values: Vec<String>) -> Self {
        for (i, value) in values.into_iter().enumerate() {
            self.0.push((if i == 0 { name } else { "" }, value));
        }
        self
    }
    /// The text.
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, value): &(_, _)| format!("  {name:width$}  {value}\n");
        self.0.iter().map(line).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_in_utc_with_its_distance() {
        assert_eq!(when(1_795_444_800, 1_795_442_400), "2026-11-23 14:40:00 UTC (in 40 min)");
        assert_eq!(when(1_795_444_800, 1_795_444_800), "2026-11-23 14:40:00 UTC (now)");
        assert_eq!(when(1_795_444_800, 1_795_444_805), "2026-11-23 14:40:00 UTC (5 s ago)");
    }

    #[test]
    fn a_table_has_a_header_and_no_trailing_blanks() {
        let rows = vec![["a".to_owned(), "long value".to_owned()], ["bb".to_owned(), "x".to_owned()]];
        assert_eq!(table(["ID", "WHAT"], rows, "none"), "ID  WHAT\na   long value\nbb  x\n");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(table(["ID"], vec![], "no grants"), "no grants\n");
    }

    #[test]
    fn facts_stand_below_each_other() {
        let facts = Facts::new()
            .add("who", "alice")
            .maybe("ticket", None)
            .lines("sudo", vec!["one".into(), "two".into()]);
        assert_eq!(facts.text(), "  who   alice\n  sudo  one\n        two\n");
    }
}
