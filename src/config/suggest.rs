//! The word that a mistyped one was meant to be.

/// The nearest of `known`, if it is near enough to be meant: about one slip for every three letters, or the only
/// one that it is a part of.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = by_distance(word, known).into_iter().next()?;
    let slips = distance(word, best);
    let allowed = (best.chars().count() / 3).clamp(1, 3);
    if slips <= allowed {
        return Some(best);
    }
    // `timeout` where there is but one such: `sender_timeout`.
    let mut longer = known
        .iter()
        .filter(|known| known.split('_').any(|part| part == word));
    longer.next().filter(|_| longer.next().is_none()).copied()
}

/// All of `known`, nearest first.
pub(crate) fn by_distance<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = known.to_vec();
    sorted.sort_by_key(|known| distance(word, known));
    sorted
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (optimal
/// string alignment). Case and the choice between `-` and `_` do not count.
fn distance(a: &str, b: &str) -> usize {
    let fold = |word: &str| -> Vec<char> {
        word.chars()
            .take(LONGEST)
            .map(|c| {
                if c == '-' {
                    '_'
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// Letters of a word that are looked at: no key is longer, and a pasted text must not cost a square.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["secret", "secrets", "sender_timeout", "ack", "path", "url"];
        let cases = [
            ("secert", Some("secret")),
            ("Secret", Some("secret")),
            ("sender-timeout", Some("sender_timeout")),
            ("sendertimeout", Some("sender_timeout")),
            ("akc", Some("ack")),
            ("uri", Some("url")),
            ("paths", Some("path")),
            ("order_by", None),
            ("timeout", Some("sender_timeout")),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn distances_count_slips() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("abc", "abd", 1),
            ("kitten", "sitting", 3),
        ];
        for (a, b, slips) in cases {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }
}
