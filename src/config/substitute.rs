//! `${NAME}` and `${NAME:-default}` inside one scalar. It runs after parsing, so a value can't change the
//! structure of the file.

/// A scalar after substitution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text; an unset variable stands in it as [`STAND_IN`].
    pub(crate) text: String,
    /// Whether any of it comes from the environment. Such text may be secret wherever it stands.
    pub(crate) from_environment: bool,
    /// Variables without value and default, in order.
    pub(crate) unset: Vec<String>,
}

/// What an unset variable reads as; seen only with `check --allow-unset`.
pub(crate) const STAND_IN: &str = "unset";

/// A `${` that begins no variable. The text is not told, since it may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "${{ begins no variable here; accepted: ${{NAME}} and ${{NAME:-default}} with a name of letters, digits and _; \
     a dollar before a brace is written $$"
)]
pub(crate) struct BadVariable;

/// Replaces every variable. `:-default` counts for an unset and, as in a shell, for an empty variable; `$$` is
/// a dollar; a `$` before anything else is itself.
pub(crate) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, BadVariable> {
    let mut expanded = Expanded::default();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.text.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.text.push('$');
            after
        } else if let Some(inside) = after.strip_prefix('{') {
            let (variable, after) = inside.split_once('}').ok_or(BadVariable)?;
            let (name, default) = match variable.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (variable, None),
            };
            if !is_name(name) {
                return Err(BadVariable);
            }
            insert(&mut expanded, name, default, lookup);
            after
        } else {
            expanded.text.push('$');
            after
        };
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

fn insert(
    expanded: &mut Expanded,
    name: &str,
    default: Option<&str>,
    lookup: &dyn Fn(&str) -> Option<String>,
) {
    match (lookup(name), default) {
        (Some(value), None) => {
            expanded.text.push_str(&value);
            expanded.from_environment = true;
        }
        (Some(value), Some(_)) if !value.is_empty() => {
            expanded.text.push_str(&value);
            expanded.from_environment = true;
        }
        (_, Some(default)) => expanded.text.push_str(default),
        (None, None) => {
            expanded.text.push_str(STAND_IN);
            expanded.unset.push(name.to_owned());
        }
    }
}

/// Whether a variable can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${A} $$".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once() {
        let cases = [
            ("", "", false),
            ("plain", "plain", false),
            ("${A}", "1", true),
            ("x${A}y${A}", "x1y1", true),
            ("$${A}", "${A}", false),
            ("$$$$", "$$", false),
            ("$", "$", false),
            ("5$ a$b", "5$ a$b", false),
            ("${NO:-}", "", false),
            ("${NO:-a:-b}", "a:-b", false),
            ("${EMPTY}", "", true),
            ("${EMPTY:-d}", "d", false),
            ("${A:-d}", "1", true),
            ("${DOLLAR}", "${A} $$", true),
            ("${A}}", "1}", true),
        ];
        for (text, expected, from_environment) in cases {
            let expanded = expand(text, &environment).expect(text);
            assert_eq!(expanded.text, expected, "{text}");
            assert_eq!(expanded.from_environment, from_environment, "{text}");
            assert!(expanded.unset.is_empty(), "{text}");
        }
    }

    #[test]
    fn unset_variables_are_named_and_stood_in_for() {
        let expanded = expand("http://${HOST}:${PORT}/", &environment).expect("well formed");
        assert_eq!(expanded.text, "http://unset:unset/");
        assert_eq!(expanded.unset, ["HOST", "PORT"]);
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["${", "${}", "a ${A", "${1A}", "${A-b}", "${a b}", "${:-x}"] {
            assert!(expand(text, &environment).is_err(), "{text}");
        }
    }
}
