//! The word that a mistyped one was meant to be.

/// The nearest of `known`, if it is near enough to be meant: about one slip for every three letters, or the only
/// one that it is a part or the beginning of.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = by_distance(word, known).into_iter().next()?;
    if distance(word, best) <= allowed(best) {
        return Some(best);
    }
    // `timeout` where there is but one such: `sender_timeout`; and `algo`: `algorithm`.
    let is_part = |known: &str| {
        let begins = word.len() >= BEGINNING_MIN && known.starts_with(word);
        begins || known.split('_').any(|part| part == word)
    };
    let mut longer = known.iter().filter(|known| is_part(known));
    longer.next().filter(|_| longer.next().is_none()).copied()
}

/// Letters of an abbreviation that can be told from a word of its own.
const BEGINNING_MIN: usize = 3;

/// Those of `known` that may be meant, nearest first: near enough, and none is nearer; or with the same letters; or
/// longer names that begin with this word.
pub(crate) fn near<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    if word.is_empty() {
        return Vec::new();
    }
    let sorted = by_distance(word, known);
    let least = sorted.first().map_or(0, |best| distance(word, best));
    let begins = |known: &str| {
        let rest = known.strip_prefix(word);
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    let is_near = |known: &&str| {
        let slips = distance(word, known);
        (slips <= allowed(known) && slips == least)
            || letters(word) == letters(known)
            || begins(known)
    };
    sorted.into_iter().filter(is_near).collect()
}

fn letters(word: &str) -> String {
    let letters = word.chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_ascii_lowercase()
}

/// Slips after which a word is still this one.
fn allowed(known: &str) -> usize {
    (known.chars().count() / 3).clamp(1, 3)
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
            ("send", Some("sender_timeout")),
            ("se", None),
            ("sec", None),
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
