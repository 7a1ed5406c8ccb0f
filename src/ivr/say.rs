//! Numbers, positions and waits as clips, by the rules of spoken Chinese.
//!
//! 二 and 两: a bare two before a measure word is 两 (两分钟), an ordinal's is 二 (第二位). One in numbers that are read
//! out digit by digit over a telephone is 幺. The clips reach to 999; larger numbers are read digit by digit.

use std::time::Duration;

/// Clip names, without folder and ending, in the order in which they are played.
pub type Words = Vec<&'static str>;

const DIGITS: [&str; 10] =
    ["digit_0", "digit_1", "digit_2", "digit_3", "digit_4", "digit_5", "digit_6", "digit_7", "digit_8", "digit_9"];
const ONE_ON_THE_TELEPHONE: &str = "digit_1_yao";
const TWO_OF_THINGS: &str = "digit_2_liang";
const TEN: &str = "number_ten";
const HUNDRED: &str = "number_hundred";

/// A number as one counts it, and as it stands in an ordinal: 12 is 十二, 20 二十, 105 一百零五, 110 一百一十.
pub fn number_zh(number: u64) -> Words {
    if number > 999 {
        return digits_zh(&number.to_string());
    }
    let (hundreds, tens, ones) = ((number / 100) as usize, (number / 10 % 10) as usize, (number % 10) as usize);
    let mut words = Vec::new();
    if hundreds > 0 {
        words.extend([DIGITS[hundreds], HUNDRED]);
    }
    match tens {
        0 if hundreds > 0 && ones > 0 => words.push(DIGITS[0]),
        0 => {}
        // 十二, but 一百一十二.
        1 if hundreds == 0 => words.push(TEN),
        _ => words.extend([DIGITS[tens], TEN]),
    }
    if ones > 0 || number == 0 {
        words.push(DIGITS[ones]);
    }
    words
}

/// A number before a measure word: 两 for a bare two and for two hundreds, else as [`number_zh`].
pub fn quantity_zh(number: u64) -> Words {
    let mut words = number_zh(number);
    if number == 2 || (200..300).contains(&number) {
        words[0] = TWO_OF_THINGS;
    }
    words
}

/// Digit by digit; whatever is no digit is passed over.
pub fn digits_zh(text: &str) -> Words {
    text.chars().filter_map(|c| c.to_digit(10)).map(|digit| DIGITS[digit as usize]).collect()
}

/// A telephone number: digit by digit with 幺 for one, so that 110 is 幺幺零. A leading +86 is not read.
pub fn telephone_zh(number: &str) -> Words {
    let number = number.strip_prefix("+86").unwrap_or(number);
    digits_zh(number).into_iter().map(|word| if word == DIGITS[1] { ONE_ON_THE_TELEPHONE } else { word }).collect()
}

/// A ticket's number, read as telephone numbers are.
pub fn ticket_zh(number: &str) -> Words {
    telephone_zh(number)
}

/// 您现在排在第 … 位; `position` counts from 1.
pub fn position_zh(position: u64) -> Words {
    let mut words = vec!["position_before"];
    words.extend(number_zh(position));
    words.push("position_after");
    words
}

/// 预计等待时间 … 分钟, rounded up; under a minute it is said so.
pub fn wait_zh(wait: Duration) -> Words {
    let minutes = wait.as_millis().div_ceil(60_000) as u64;
    if wait < Duration::from_secs(60) {
        return vec!["wait_less_than_one"];
    }
    let mut words = vec!["wait_before"];
    words.extend(quantity_zh(minutes));
    words.push("wait_minutes");
    words
}

/// A date: 十一月二十二日.
pub fn date_zh(month: u8, day: u8) -> Words {
    let mut words = number_zh(month.into());
    words.push("month");
    words.extend(number_zh(day.into()));
    words.push("day");
    words
}

/// An agent's number: 工号 … 为您服务, digit by digit with 幺 for one.
pub fn agent_zh(number: &str) -> Words {
    let mut words = vec!["agent_number_before"];
    words.extend(telephone_zh(number));
    words.push("agent_number_after");
    words
}

/// The paths of Chinese clips: `prompts/zh/digit_3.wav`.
pub fn clips(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("prompts/zh/{word}.wav")).collect()
}

/// The clips of the queue's position announcement.
pub fn position(position: usize) -> Vec<String> {
    clips(&position_zh(position as u64))
}

/// The clips of the queue's estimate of the wait.
pub fn wait_estimate(wait: Duration) -> Vec<String> {
    clips(&wait_zh(wait))
}

/// Every clip that this module may name: they have to exist.
pub fn all_clips() -> Vec<String> {
    let mut words = DIGITS.to_vec();
    words.extend([ONE_ON_THE_TELEPHONE, TWO_OF_THINGS, TEN, HUNDRED, "position_before", "position_after"]);
    words.extend(["wait_before", "wait_minutes", "wait_less_than_one", "month", "day"]);
    words.extend(["agent_number_before", "agent_number_after"]);
    clips(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words as one would write them.
    fn written(words: &[&str]) -> String {
        let one = |word: &&str| match *word {
            "digit_1_yao" => '幺',
            "digit_2_liang" => '两',
            "number_ten" => '十',
            "number_hundred" => '百',
            word => word
                .strip_prefix("digit_")
                .and_then(|n| n.parse().ok())
                .map_or('?', |n: usize| ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'][n]),
        };
        words.iter().map(one).collect()
    }

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "零"),
            (1, "一"),
            (2, "二"),
            (10, "十"),
            (11, "十一"),
            (12, "十二"),
            (20, "二十"),
            (22, "二十二"),
            (99, "九十九"),
            (100, "一百"),
            (101, "一百零一"),
            (105, "一百零五"),
            (110, "一百一十"),
            (111, "一百一十一"),
            (119, "一百一十九"),
            (120, "一百二十"),
            (200, "二百"),
            (909, "九百零九"),
            (999, "九百九十九"),
            (1000, "一零零零"),
            (12345, "一二三四五"),
        ] {
            assert_eq!(written(&number_zh(number)), text, "{number}");
        }
        assert_eq!(number_zh(12), ["number_ten", "digit_2"]);
    }

    #[test]
    fn two_of_things() {
        for (number, text) in [
            (1, "一"),
            (2, "两"),
            (12, "十二"),
            (20, "二十"),
            (22, "二十二"),
            (102, "一百零二"),
            (200, "两百"),
            (220, "两百二十"),
        ] {
            assert_eq!(written(&quantity_zh(number)), text, "{number}");
        }
    }

    #[test]
    fn read_out_digit_by_digit() {
        assert_eq!(written(&telephone_zh("110")), "幺幺零");
        assert_eq!(written(&telephone_zh("+8613912345678")), "幺三九幺二三四五六七八");
        assert_eq!(written(&telephone_zh("0513-8320 1234")), "零五幺三八三二零幺二三四");
        assert_eq!(written(&digits_zh("102")), "一零二");
        assert_eq!(written(&ticket_zh("261122")), "二六幺幺二二");
    }

    #[test]
    fn announcements() {
        assert_eq!(position_zh(2), ["position_before", "digit_2", "position_after"]);
        assert_eq!(position(3)[1], "prompts/zh/digit_3.wav");
        assert_eq!(wait_zh(Duration::from_secs(59)), ["wait_less_than_one"]);
        assert_eq!(wait_zh(Duration::from_secs(60)), ["wait_before", "digit_1", "wait_minutes"]);
        assert_eq!(wait_zh(Duration::from_secs(61)), ["wait_before", "digit_2_liang", "wait_minutes"]);
        assert_eq!(date_zh(11, 22), ["number_ten", "digit_1", "month", "digit_2", "number_ten", "digit_2", "day"]);
    }
}
