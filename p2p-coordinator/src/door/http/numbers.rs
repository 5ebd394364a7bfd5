//! Numbers and truth values in the forms that the contract's validator took: also as text.

use serde_json::Value;

/// What it says of text that is no whole number.
pub(super) const NOT_WHOLE: &str =
    "Input should be a valid integer, unable to parse string as an integer";

/// A value that is none of the kind: the word for it, and the sentence.
pub(super) type Wrong = (&'static str, &'static str);

/// A whole number; past the ends of `i128` the nearest.
pub(super) fn int(value: &Value) -> Result<i128, Wrong> {
    match value {
        Value::Bool(on) => Ok(i128::from(*on)),
        Value::String(text) => whole(text).ok_or(("int_parsing", NOT_WHOLE)),
        Value::Number(number) => {
            let exact = number.as_i64().map(i128::from);
            let exact = exact.or_else(|| number.as_u64().map(i128::from));
            let float = || number.as_f64().filter(|float| float.fract() == 0.0);
            let fraction = "Input should be a valid integer, got a number with a fractional part";
            exact.or_else(|| float().map(|float| float as i128)).ok_or(("int_from_float", fraction))
        }
        _ => Err(("int_type", "Input should be a valid integer")),
    }
}

/// Text of digits: with a sign, space around, single underscores between and noughts behind a point.
pub(super) fn whole(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match digits.split_once('.') {
        Some((digits, noughts)) => {
            let all = !noughts.is_empty() && noughts.bytes().all(|byte| byte == b'0');
            all.then_some(digits)?
        }
        None => digits,
    };
    let digits = without_underscores(digits)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(i128::MAX);
    Some(if negative { -number } else { number })
}

fn without_underscores(text: &str) -> Option<String> {
    let apart = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    apart.then(|| text.replace('_', ""))
}

/// A number that is finite.
pub(super) fn float(value: &Value) -> Result<f64, Wrong> {
    let number = match value {
        Value::Bool(on) => f64::from(u8::from(*on)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
        Value::String(text) => {
            let msg = "Input should be a valid number, unable to parse string as a number";
            let plain = without_underscores(text.trim());
            plain.and_then(|text| text.parse().ok()).ok_or(("float_parsing", msg))?
        }
        _ => return Err(("float_type", "Input should be a valid number")),
    };
    match number.is_finite() {
        true => Ok(number),
        false => Err(("finite_number", "Input should be a finite number")),
    }
}

/// Yes or no.
pub(super) fn bool(value: &Value) -> Result<bool, Wrong> {
    let msg = "Input should be a valid boolean, unable to interpret input";
    let unknown = ("bool_parsing", msg);
    match value {
        Value::Bool(on) => Ok(*on),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(float) if float.fract() == 0.0 => Err(unknown),
            _ => Err(("bool_type", "Input should be a valid boolean")),
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
            _ => Err(unknown),
        },
        _ => Err(("bool_type", "Input should be a valid boolean")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_whole_number_where_the_contract_took_it() {
        for (text, number) in [
            ("5", 5),
            (" 5 ", 5),
            ("+5", 5),
            ("-0", 0),
            ("-5", -5),
            ("007", 7),
            ("5.0", 5),
            ("5.000", 5),
            ("1_000", 1000),
            ("1_0.0", 10),
        ] {
            assert_eq!(whole(text), Some(number), "{text:?}");
        }
        for text in ["", " ", "x", "5.", ".0", "5.5", "+ 5", "1__0", "_1", "1_", "0x1", "1e3", "٣"]
        {
            assert_eq!(whole(text), None, "{text:?}");
        }
        assert_eq!(whole(&"9".repeat(60)), Some(i128::MAX));
        assert_eq!(whole(&format!("-{}", "9".repeat(60))), Some(-i128::MAX));
    }
}
