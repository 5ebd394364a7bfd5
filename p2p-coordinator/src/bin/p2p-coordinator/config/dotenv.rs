//! The `.env` file: one `NAME=value` in a line.
//!
//! A value may stand in single quotes, as it is, or in double quotes, with `\n`, `\"`, `\\` and `\$`.
//! Without quotes it ends at ` #`. Empty lines, lines that begin with `#` and an `export` before a
//! name are allowed. Nothing is put in for `$NAME`: a value is what is written.

use std::collections::BTreeMap;

/// Its names and values; or what is wrong in which line. Values are in no message: they may be secret.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", at + 1);
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, rest) = line.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let name = name.trim_end();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) || name.as_bytes()[0].is_ascii_digit() {
            return Err(wrong("a name has letters, digits and _"));
        }
        let value = value(rest.trim()).map_err(wrong)?;
        if values.insert(name.to_owned(), value).is_some() {
            return Err(wrong(&format!("{name} is there twice")));
        }
    }
    Ok(values)
}

fn value(text: &str) -> Result<String, &'static str> {
    let (value, rest) = match text.as_bytes().first() {
        Some(b'\'') => text[1..].split_once('\'').map(|(value, rest)| (value.to_owned(), rest)),
        Some(b'"') => quoted(&text[1..])?,
        _ if text.starts_with('#') => return Ok(String::new()),
        _ => {
            let end = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
            return Ok(text[..end].trim_end().to_owned());
        }
    }
    .ok_or("a quotation mark is missing")?;
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(value)
    } else {
        Err("there is more after the quotation mark")
    }
}

fn quoted(text: &str) -> Result<Option<(String, &str)>, &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok(Some((value, &text[at + 1..]))),
            '\\' => value.push(match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, same @ ('"' | '\\' | '$'))) => same,
                _ => return Err("after \\ only n, \", \\ or $ can stand"),
            }),
            other => value.push(other),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_is_written() {
        let text = "\u{feff}# all forms\r\n\nA=1\nexport B = two words # not this\r\nC='$A # \\n'\n\
                    D=\"a\\n\\\"b\\\" \\$A\" # not this\nE=\nF=a#b=c\nG= # nothing\n";
        let values = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$A # \\n"),
            ("D", "a\n\"b\" $A"),
            ("E", ""),
            ("F", "a#b=c"),
            ("G", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(values, expected.into());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_value() {
        for (text, words) in [
            ("A=1\nhidden", "line 2: there is no ="),
            ("A B=hidden", "line 1: a name"),
            ("1A=hidden", "line 1: a name"),
            ("A='hidden", "a quotation mark is missing"),
            ("A=\"hidden", "a quotation mark is missing"),
            ("A=\"hidden\" more", "there is more"),
            ("A=\"\\hidden\"", "after \\ only"),
            ("A=1\n\nA=hidden", "line 3: A is there twice"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(words) && !said.contains("hidden"), "{said}");
        }
    }
}
