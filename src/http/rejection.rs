//! What is wrong with a request's body or query, said in Chinese: serde and axum say it in English.

/// The fault that an extractor found, in Chinese, with its place where that is known.
pub fn in_chinese(text: &str) -> String {
    let text = ["Failed to deserialize the JSON body into the target type: ", "Failed to deserialize query string: "]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .or_else(|| text.strip_prefix("Failed to parse the request body as JSON: "))
        .unwrap_or(text);
    let (text, place) = match text.rsplit_once(" at line ") {
        Some((text, place)) => (text, place.split_once(" column ")),
        None => (text, None),
    };
    let (path, text) = path(text);
    let fault = fault(text);
    let place = place.map(|(line, column)| format!("(第 {line} 行第 {column} 列)")).unwrap_or_default();
    match path {
        Some(path) => format!("{path}:{fault}{place}"),
        None => format!("{fault}{place}"),
    }
}

/// The path to the field that `serde_path_to_error` puts before the fault.
fn path(text: &str) -> (Option<&str>, &str) {
    let is_path = |path: &str| {
        !path.is_empty() && path != "." && path.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]-".contains(c))
    };
    match text.split_once(": ") {
        Some((path, rest)) if is_path(path) => (Some(path), rest),
        Some((".", rest)) => (None, rest),
        _ => (None, text),
    }
}

fn fault(text: &str) -> String {
    let name = quoted(text).unwrap_or_default();
    if text.starts_with("missing field") {
        format!("缺少字段 {name}")
    } else if text.starts_with("unknown field") {
        format!("没有名为 {name} 的字段{}", choices(text))
    } else if text.starts_with("unknown variant") {
        format!("不能是 {name}{}", choices(text))
    } else if text.starts_with("duplicate field") {
        format!("字段 {name} 出现了两次")
    } else if let Some((got, wanted)) = text.strip_prefix("invalid type: ").and_then(|t| t.split_once(", expected ")) {
        format!("类型不对,收到的是{},应为{}", kind(got), kind(wanted))
    } else if let Some((_, wanted)) = text.split_once(", expected ") {
        format!("值不对,应为{}", kind(wanted))
    } else if text.contains("invalid digit") || text.contains("number too large") || text.contains("empty string") {
        "应为不太大的非负整数".to_owned()
    } else if text.starts_with("EOF") {
        "JSON 不完整".to_owned()
    } else {
        "内容不符合要求,请检查格式".to_owned()
    }
}

/// The first name between backquotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// What may stand there instead.
fn choices(text: &str) -> String {
    let Some((_, choices)) = text.split_once("expected ") else { return String::new() };
    let names: Vec<&str> = choices.split('`').skip(1).step_by(2).collect();
    if names.is_empty() { String::new() } else { format!(",应为 {}", names.join("、")) }
}

/// A type, or a value with its type, as serde names it.
fn kind(text: &str) -> String {
    let text = text.trim_start_matches("a ").trim_start_matches("an ");
    let words = [
        ("string", "字符串"),
        ("borrowed string", "字符串"),
        ("integer", "整数"),
        ("floating point", "小数"),
        ("boolean", "布尔值"),
        ("map", "对象"),
        ("struct", "对象"),
        ("sequence", "数组"),
        ("null", "空值"),
        ("unit", "空值"),
        ("option", "可空的值"),
        ("u", "非负整数"),
        ("i", "整数"),
        ("f", "数"),
    ];
    let is_number = |word: &str| matches!(word, "u" | "i" | "f");
    let found = words.iter().find(|(word, _)| {
        text.strip_prefix(word).is_some_and(|rest| {
            if is_number(word) {
                rest.chars().all(|c| c.is_ascii_digit())
            } else {
                !rest.starts_with(char::is_alphabetic)
            }
        })
    });
    found.map_or_else(|| "另一种值".to_owned(), |(_, zh)| (*zh).to_owned())
}

#[cfg(test)]
mod tests {
    use super::in_chinese;

    #[test]
    fn faults_are_said_in_chinese() {
        for (english, chinese) in [
            (
                "Failed to deserialize the JSON body into the target type: missing field `user` at line 1 column 2",
                "缺少字段 user(第 1 行第 2 列)",
            ),
            (
                "Failed to deserialize the JSON body into the target type: matter.kind: unknown variant `x`, expected one \
                 of `help`, `complaint` at line 3 column 9",
                "matter.kind:不能是 x,应为 help、complaint(第 3 行第 9 列)",
            ),
            (
                "Failed to deserialize the JSON body into the target type: to: invalid type: integer `5`, expected a string \
                 at line 1 column 8",
                "to:类型不对,收到的是整数,应为字符串(第 1 行第 8 列)",
            ),
            (
                "Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1",
                "JSON 不完整(第 1 行第 1 列)",
            ),
            ("Failed to deserialize query string: limit: invalid digit found in string", "limit:应为不太大的非负整数"),
            (
                "Failed to parse the request body as JSON: expected value at line 1 column 1",
                "内容不符合要求,请检查格式(第 1 行第 1 列)",
            ),
            ("invalid type: map, expected u32", "类型不对,收到的是对象,应为非负整数"),
            ("something that nobody foresaw", "内容不符合要求,请检查格式"),
        ] {
            assert_eq!(in_chinese(english), chinese, "{english}");
        }
    }

    #[test]
    fn what_axum_says_today_is_understood() {
        #[derive(Debug, serde::Deserialize)]
        struct Form {
            #[allow(dead_code)]
            user: String,
        }
        let error = serde_json::from_str::<Form>("{}").unwrap_err();
        assert_eq!(in_chinese(&error.to_string()), "缺少字段 user(第 1 行第 2 列)");
        let error = serde_json::from_str::<Form>(r#"{"user":5}"#).unwrap_err();
        assert_eq!(in_chinese(&error.to_string()), "类型不对,收到的是整数,应为字符串(第 1 行第 9 列)");
    }
}
