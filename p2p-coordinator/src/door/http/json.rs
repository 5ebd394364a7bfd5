//! What is wrong with text that should be JSON, in the words of the contract's service.
//!
//! Clients read where it is wrong (`loc`) and what was expected there (`ctx.error`); parsers differ in
//! both. This follows the decoder behind the contract: a position in characters, and its sentences.

/// Deeper than any body that is read; so deep nothing is looked for.
const MAX_DEPTH: usize = 200;

/// What is expected, and at which character; `None` if that decoder takes it.
pub(super) fn complaint(text: &str) -> Option<(&'static str, usize)> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let wrong = reader.document().err()?;
    let before = text.get(..wrong.at).unwrap_or(text);
    Some((wrong.what, before.chars().count()))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

struct Wrong {
    what: &'static str,
    at: usize,
}

const VALUE: &str = "Expecting value";

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Wrong> {
        self.skip_space();
        self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("Extra data"),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            // Taken as the end of a text that is fine.
            self.at = self.text.len();
            return Ok(());
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ => {
                let words = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
                let rest = &self.text[self.at..];
                let word = words.iter().find(|word| rest.starts_with(word.as_bytes()));
                let length = word.map_or_else(|| number(rest), |word| word.len());
                self.at += length;
                if length == 0 { self.wrong(VALUE) } else { Ok(()) }
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Wrong> {
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.wrong("Expecting property name enclosed in double quotes");
            }
            self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return self.wrong("Expecting ':' delimiter");
            }
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            if self.take(b'}') || depth >= MAX_DEPTH {
                return Ok(());
            }
            if !self.take(b',') {
                return self.wrong("Expecting ',' delimiter");
            }
            self.skip_space();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Wrong> {
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.skip_space();
            if self.take(b']') || depth >= MAX_DEPTH {
                return Ok(());
            }
            if !self.take(b',') {
                return self.wrong("Expecting ',' delimiter");
            }
            self.skip_space();
        }
    }

    fn string(&mut self) -> Result<(), Wrong> {
        let begin = self.at;
        let unterminated = Err(Wrong { what: "Unterminated string starting at", at: begin });
        self.at += 1;
        loop {
            match self.peek() {
                None => return unterminated,
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(0..0x20) => return self.wrong("Invalid control character at"),
                Some(b'\\') => match self.text.get(self.at + 1) {
                    None => return unterminated,
                    Some(b'u') => {
                        let digits = self.text.get(self.at + 2..self.at + 6);
                        let digits = digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
                        // The decoder wants the string to go on after the digits.
                        if !digits || self.text.len() == self.at + 6 {
                            self.at += 1;
                            return self.wrong("Invalid \\uXXXX escape");
                        }
                        self.at += 6;
                    }
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(_) => return self.wrong("Invalid \\escape"),
                },
                Some(_) => self.at += 1,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &'static str) -> Result<(), Wrong> {
        Err(Wrong { what, at: self.at })
    }
}

/// How many bytes at the beginning are a number; 0 if there is none.
fn number(text: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = usize::from(text.first() == Some(&b'-'));
    end += match text.get(end) {
        Some(b'0') => 1,
        Some(b'1'..=b'9') => digits(end),
        _ => return 0,
    };
    if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        if digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn complaints_are_those_of_the_decoder_behind_the_contract() {
        const NAME: &str = "Expecting property name enclosed in double quotes";
        const COMMA: &str = "Expecting ',' delimiter";
        const COLON: &str = "Expecting ':' delimiter";
        let cases = [
            (" ", VALUE, 1),
            ("{", NAME, 1),
            ("}", VALUE, 0),
            ("[1,", VALUE, 3),
            ("[1,]", VALUE, 3),
            ("[1 2]", COMMA, 3),
            (r#"{"a""#, COLON, 4),
            (r#"{"é" 1}"#, COLON, 5),
            (r#"{"a":"#, VALUE, 5),
            (r#"{"a":1"#, COMMA, 6),
            (r#"{"a":1,}"#, NAME, 7),
            (r#"{"a":01}"#, COMMA, 6),
            (r#"{"a":1.}"#, COMMA, 6),
            (r#"{"a":1e}"#, COMMA, 6),
            (r#"{"a":-}"#, VALUE, 5),
            (r#"{"a":tru}"#, VALUE, 5),
            ("{'a':1}", NAME, 1),
            ("{} x", "Extra data", 3),
            ("\"a\" b", "Extra data", 4),
            ("\n\n{\n  \"x\": y}", VALUE, 11),
            (r#"{"a":"abc"#, "Unterminated string starting at", 5),
            (r#"{"a":"b\"#, "Unterminated string starting at", 5),
            (r#"{"a":"\q"}"#, "Invalid \\escape", 6),
            (r#"{"a":"\u12"}"#, "Invalid \\uXXXX escape", 7),
            (r#"{"a":"\u12"#, "Invalid \\uXXXX escape", 7),
            ("{\"a\":\"x\ty\"}", "Invalid control character at", 7),
        ];
        for (text, what, at) in cases {
            assert_eq!(complaint(text), Some((what, at)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_said_of_json(text in r#"[\[\]{}",:0-9a-z\\ -]{0,12}"#) {
            // What one parser takes and the other does not, is no JSON but for a lone surrogate.
            let ours = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert!(!ours || complaint(&text).is_none());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = complaint(&text);
            let _ = complaint(&"[".repeat(300));
            let _ = complaint(&"{\"a\":".repeat(300));
        }
    }
}
