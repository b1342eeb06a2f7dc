//! Names and values in bodies of forms and in queries.

/// Names and values as HTML's forms and queries encode them.
pub fn form_urlencode(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_as_a_browser_would() {
        let text =
            form_urlencode(&[("scope", "openid email"), ("redirect_uri", "https://a.example/b?c=d&e"), ("ü", "~*")]);
        assert_eq!(text, "scope=openid+email&redirect_uri=https%3A%2F%2Fa.example%2Fb%3Fc%3Dd%26e&%C3%BC=%7E*");
    }
}
