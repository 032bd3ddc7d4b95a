//! The narrowest type that keeps every number of a column exactly.

use arrow_schema::DataType;

/// Significant decimal digits that every f64 keeps.
const DIGITS: usize = 15;
/// Largest precision of a 128-bit and a 256-bit decimal.
const DECIMAL: [u8; 2] = [38, 76];

/// What is known of the numbers of a column, from their decimal text.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// All are integers of i64.
    signed: bool,
    /// All are integers of u64.
    unsigned: bool,
    /// All are integers.
    whole: bool,
    /// All are the value of an f64, or its shortest decimal form.
    double: bool,
    /// Most digits before and after the decimal point; `None` if a number is beyond all decimals.
    digits: Option<[usize; 2]>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { signed: true, unsigned: true, whole: true, double: true, digits: Some([0, 0]) }
    }
}

impl Numbers {
    /// Adds a number, in the syntax of JSON.
    pub(super) fn add(&mut self, text: &str) {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if is_integer(text) {
            self.signed &= digits.len() < 19 || text.parse::<i64>().is_ok();
            self.unsigned &= text.parse::<u64>().is_ok();
            self.double &= digits.len() <= DIGITS || text.parse::<i128>().is_ok_and(|n| n as f64 as i128 == n);
            self.widen([digits.len(), 0]);
            return;
        }
        (self.signed, self.unsigned, self.whole) = (false, false, false);
        let Some(decimal) = Decimal::of(digits) else {
            (self.double, self.digits) = (false, None);
            return;
        };
        self.double &=
            text.parse::<f64>().is_ok_and(|n| n.is_finite() && Decimal::of(&format!("{:e}", n.abs())).as_ref() == Some(&decimal));
        self.widen(decimal.sides());
    }

    fn widen(&mut self, sides: [usize; 2]) {
        if let Some(digits) = &mut self.digits {
            *digits = [digits[0].max(sides[0]), digits[1].max(sides[1])];
        }
    }

    /// An integer or floating-point type, or a decimal if no such type is exact; `None` if no decimal is wide enough.
    pub(super) fn kind(&self) -> Option<DataType> {
        if let Some(kind) = self.native() {
            return Some(kind);
        }
        let [before, after] = self.digits?;
        let precision = u8::try_from((before + after).max(1)).ok()?;
        let scale = i8::try_from(after).ok()?;
        match DECIMAL {
            [most, _] if precision <= most => Some(DataType::Decimal128(precision, scale)),
            [_, most] if precision <= most => Some(DataType::Decimal256(precision, scale)),
            _ => None,
        }
    }

    /// An integer or floating-point type; `None` if none is exact.
    pub(super) fn native(&self) -> Option<DataType> {
        match self {
            Self { signed: true, .. } => Some(DataType::Int64),
            Self { unsigned: true, .. } => Some(DataType::UInt64),
            Self { whole: false, double: true, .. } => Some(DataType::Float64),
            _ => None,
        }
    }
}

/// Whether a cell is a number whose text is that of a number type, so that it can be restored: no leading or trailing zeros, no
/// plus sign. `1` and `1.0` are both the text of 1.
pub(super) fn is_canonical(cell: &str) -> bool {
    if !cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return false;
    }
    if is_integer(cell) {
        return true;
    }
    let plain = cell.bytes().all(|byte| byte.is_ascii_digit() || b"-.eE".contains(&byte));
    let Some(number) = cell.parse::<f64>().ok().filter(|number| plain && number.is_finite()) else { return false };
    [format!("{number:?}"), number.to_string(), format!("{number:e}"), python_exponent(number)].contains(&cell.to_owned())
}

/// Python's form of numbers with exponents, which have two digits at least: `1e-07`.
fn python_exponent(number: f64) -> String {
    let form = format!("{number:e}");
    match form.split_once("e-") {
        Some((mantissa, exponent)) if exponent.len() == 1 => format!("{mantissa}e-0{exponent}"),
        _ => form,
    }
}

/// Whether a number is written as an integer without superfluous characters. The integer −0 does not exist.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading = digits.starts_with('0') && (digits.len() > 1 || text.len() > 1);
    !digits.is_empty() && !leading && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A decimal number without sign: `0.DIGITS · 10^exponent`, without zeros at either end of the digits.
#[derive(PartialEq, Debug)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = before.bytes().chain(after.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let exponent = if digits.is_empty() { 0 } else { exponent.checked_add(before.len() as i64 - zeros as i64)? };
        Some(Self { digits, exponent })
    }

    /// Digits before and after the decimal point.
    fn sides(&self) -> [usize; 2] {
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        [self.exponent, length.saturating_sub(self.exponent)].map(|side| usize::try_from(side.max(0)).unwrap_or(usize::MAX).min(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(numbers: &[&str]) -> Option<DataType> {
        let mut all = Numbers::default();
        numbers.iter().for_each(|number| all.add(number));
        all.kind()
    }

    #[test]
    fn no_number_changes_in_the_type_of_its_column() {
        for (numbers, expected) in [
            (&["1", "-9223372036854775808"][..], DataType::Int64),
            (&["9223372036854775807"], DataType::Int64),
            (&["0", "18446744073709551615"], DataType::UInt64),
            (&["-1", "18446744073709551615"], DataType::Decimal128(20, 0)),
            (&["18446744073709551616"], DataType::Decimal128(20, 0)),
            (&["0.1", "1e-7", "123456789012345.6", "1.0", "2.50"], DataType::Float64),
            (&["-0"], DataType::Float64),
            (&["9007199254740992", "0.5"], DataType::Float64),
            (&["9007199254740993", "0.5"], DataType::Decimal128(17, 1)),
            (&["0.12345678901234567890"], DataType::Decimal128(19, 19)),
            (&["1.7976931348623157e308"], DataType::Float64),
            (&["123456789012345678901234567890123456789"], DataType::Decimal256(39, 0)),
        ] {
            assert_eq!(kind(numbers), Some(expected), "{numbers:?}");
        }
        for beyond in [&["1e400"][..], &["9007199254740993", "1e-300"], &["1e99999999999999999999"]] {
            assert_eq!(kind(beyond), None, "{beyond:?}");
        }
    }

    #[test]
    fn a_cell_is_a_number_only_if_its_text_can_be_restored() {
        for number in ["0", "-0", "-7", "18446744073709551615", "0.5", "1.0", "-2.25", "1e-07", "1e-7", "1e300"] {
            assert!(is_canonical(number), "{number}");
        }
        for text in ["007", "+1", "1.50", " 1", "1 ", "1,5", "nan", "inf", "-inf", "1_000", "0x1", "", "-", ".5", "5.", "1e999"] {
            assert!(!is_canonical(text), "{text:?}");
        }
    }
}
