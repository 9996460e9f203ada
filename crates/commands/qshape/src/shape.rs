//! Counts per domain and age, and their table.

use crate::message::Message;
use crate::options::Options;
use postern_command::json_string;
use postern_sys::clock::unix_time;
use std::collections::HashMap;
use std::fmt::Write;

/// Domains are never cut shorter than this, mark included.
const NARROWEST_DOMAIN: usize = 18;
/// Columns of numbers are at least this wide.
const NARROWEST_COLUMN: usize = 2;

#[derive(Debug, Clone, Default)]
struct Row {
    total: usize,
    ages: Vec<usize>,
    /// For parent domains: how many domains below were seen.
    below: usize,
}

/// Everything counted so far.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Limits in minutes of all buckets but the last, which has none.
    limits: Vec<u64>,
    total: Row,
    domains: HashMap<String, Row>,
    parents: Option<HashMap<String, Row>>,
    min_subdomains: usize,
    now: i64,
}

impl Shape {
    pub(crate) fn new(options: &Options) -> Self {
        let limit = |number: usize| {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let factor = if options.linear {
                u64::from(number) + 1
            } else {
                2_u64.checked_pow(number).unwrap_or(u64::MAX)
            };
            options.bucket_time.saturating_mul(factor)
        };
        Self {
            limits: (0..options.buckets.saturating_sub(1)).map(limit).collect(),
            total: Row::default(),
            domains: HashMap::new(),
            parents: options.parents.then(HashMap::new),
            min_subdomains: options.min_subdomains,
            now: unix_time(),
        }
    }

    /// Counts a message.
    pub(crate) fn add(&mut self, message: &Message) {
        let age = u64::try_from(self.now.saturating_sub(message.arrival)).unwrap_or(0);
        let bucket = self
            .limits
            .iter()
            .position(|limit| age < limit.saturating_mul(60))
            .unwrap_or(self.limits.len());
        for domain in &message.domains {
            self.total.count(bucket);
            let known = self.domains.contains_key(domain);
            if let Some(parents) = &mut self.parents {
                for parent in parents_of(domain) {
                    let row = parents.entry(parent.to_owned()).or_default();
                    row.count(bucket);
                    row.below += usize::from(!known);
                }
            }
            self.domains
                .entry(domain.clone())
                .or_default()
                .count(bucket);
        }
    }

    /// The table, with at most `most` domains.
    pub(crate) fn table(&self, width: usize, most: usize) -> String {
        let mut labels = vec!["T".to_owned()];
        labels.extend(self.limits.iter().map(u64::to_string));
        labels.push(format!("{}+", self.limits.last().unwrap_or(&0)));
        let totals = self.total.numbers(self.limits.len() + 1);
        let columns: Vec<usize> = labels
            .iter()
            .zip(&totals)
            .map(|(label, total)| label.len().max(total.len()).max(NARROWEST_COLUMN))
            .collect();
        let numbers: usize = columns.iter().map(|column| column + 1).sum();
        let room = width.saturating_sub(numbers).max(NARROWEST_DOMAIN);
        let mut text = String::new();
        line(&mut text, room, "", &columns, &labels);
        line(&mut text, room, "TOTAL", &columns, &totals);
        for (name, row) in self.rows().into_iter().take(most) {
            let numbers = row.numbers(self.limits.len() + 1);
            line(&mut text, room, &cut(name, room), &columns, &numbers);
        }
        text
    }

    /// The same as an object: `limits` in minutes, and counts per age, of which the last has no limit.
    pub(crate) fn json(&self) -> String {
        let buckets = self.limits.len() + 1;
        let row = |name: &str, row: &Row| {
            let ages: Vec<String> = row.numbers(buckets).split_off(1);
            format!(
                "{{\"domain\": {}, \"total\": {}, \"ages\": [{}]}}",
                json_string(name.as_bytes()),
                row.total,
                ages.join(", ")
            )
        };
        let limits: Vec<String> = self.limits.iter().map(u64::to_string).collect();
        let rows: Vec<String> = self
            .rows()
            .into_iter()
            .map(|(name, counts)| row(name, counts))
            .collect();
        let total = self.total.numbers(buckets);
        format!(
            "{{\"limits\": [{}], \"total\": {}, \"ages\": [{}], \"domains\": [{}]}}\n",
            limits.join(", "),
            self.total.total,
            total.get(1..).unwrap_or_default().join(", "),
            rows.join(", ")
        )
    }

    /// What is shown, most mail first, then short names first.
    fn rows(&self) -> Vec<(&str, &Row)> {
        let parents = self
            .parents
            .iter()
            .flatten()
            .filter(|(_, row)| row.below >= self.min_subdomains);
        let mut rows: Vec<(&str, &Row)> = self
            .domains
            .iter()
            .chain(parents)
            .map(|(name, row)| (name.as_str(), row))
            .collect();
        rows.sort_by(|(a, left), (b, right)| {
            (right.total.cmp(&left.total))
                .then(a.len().cmp(&b.len()))
                .then(a.cmp(b))
        });
        rows
    }
}

impl Row {
    fn count(&mut self, bucket: usize) {
        self.total += 1;
        if self.ages.len() <= bucket {
            self.ages.resize(bucket + 1, 0);
        }
        if let Some(age) = self.ages.get_mut(bucket) {
            *age += 1;
        }
    }

    fn numbers(&self, buckets: usize) -> Vec<String> {
        let ages = (0..buckets).map(|bucket| self.ages.get(bucket).copied().unwrap_or(0));
        std::iter::once(self.total)
            .chain(ages)
            .map(|number| number.to_string())
            .collect()
    }
}

/// The domains above this one, with their leading dot, top level excluded.
fn parents_of(domain: &str) -> impl Iterator<Item = &str> {
    domain
        .match_indices('.')
        .filter_map(|(at, _)| domain.get(at..))
        .filter(|parent| parent.get(1..).is_some_and(|rest| rest.contains('.')))
}

/// A name cut at its beginning to the room there is.
fn cut(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let mark = if name.starts_with('.') { ".+" } else { "+" };
    let rest = name.chars().skip(length - (room - mark.len()));
    mark.chars().chain(rest).collect()
}

fn line(text: &mut String, room: usize, name: &str, columns: &[usize], values: &[String]) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name:>room$}");
    for (column, value) in columns.iter().zip(values) {
        let _ = write!(text, " {value:>column$}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(age_minutes: i64, domains: &[&str]) -> Message {
        Message {
            arrival: unix_time() - age_minutes * 60,
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        }
    }

    #[test]
    fn rows_are_ordered_by_count_and_length_and_fill_eighty_columns() {
        let mut shape = Shape::new(&Options::default());
        shape.add(&message(1, &["d.example", "other.example", "d.example"]));
        shape.add(&message(5, &["x.example"]));
        shape.add(&message(100_000, &["long.name.example"]));
        let want =
            "                                         T  5 10 20 40 80 160 320 640 1280 1280+
                                  TOTAL  5  3  1  0  0  0   0   0   0    0     1
                              d.example  2  2  0  0  0  0   0   0   0    0     0
                              x.example  1  0  1  0  0  0   0   0   0    0     0
                          other.example  1  1  0  0  0  0   0   0   0    0     0
                      long.name.example  1  0  0  0  0  0   0   0   0    0     1
";
        assert_eq!(shape.table(80, 20), want);
        assert_eq!(
            shape.json(),
            "{\"limits\": [5, 10, 20, 40, 80, 160, 320, 640, 1280], \"total\": 5, \
             \"ages\": [3, 1, 0, 0, 0, 0, 0, 0, 0, 1], \"domains\": [\
             {\"domain\": \"d.example\", \"total\": 2, \"ages\": [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, \
             {\"domain\": \"x.example\", \"total\": 1, \"ages\": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]}, \
             {\"domain\": \"other.example\", \"total\": 1, \"ages\": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, \
             {\"domain\": \"long.name.example\", \"total\": 1, \"ages\": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]}]}\n"
        );
    }

    #[test]
    fn parents_appear_when_enough_domains_are_below() {
        let options = Options {
            parents: true,
            min_subdomains: 2,
            ..Options::default()
        };
        let mut shape = Shape::new(&options);
        shape.add(&message(
            1,
            &["a.d.example", "b.d.example", "b.d.example", "x.y.example"],
        ));
        let names: Vec<&str> = shape.rows().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [".d.example", "b.d.example", "a.d.example", "x.y.example"]
        );
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(cut("abc.example", 11), "abc.example");
        assert_eq!(cut("abc.example", 8), "+example");
        assert_eq!(cut(".abc.example", 8), ".+xample");
    }
}
