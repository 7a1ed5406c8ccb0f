//! What the API's document says of every route alike: its path's parameters, and who may ask.

use super::auth::COOKIE;
use utoipa::openapi::{
    OpenApi, RefOr, Required,
    path::{ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Type},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

/// Signing in needs no session.
const SIGN_IN: &str = "/sessions";

/// Adds the parameters of paths and the two ways of showing a session.
pub fn describe(document: &mut OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
        COOKIE,
        "控制台用;改变数据的请求还须带 X-Requested-With: hotline",
    ));
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    schemes.insert("cookie".to_owned(), RefOr::T(SecurityScheme::ApiKey(cookie)));
    let needed = || SecurityRequirement::new("bearer", Vec::<String>::new());
    document.security = Some(vec![needed(), SecurityRequirement::new("cookie", Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        let names: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let open = path == SIGN_IN;
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
            if open {
                operation.security = Some(Vec::new());
            }
            let parameters = operation.parameters.get_or_insert_default();
            for name in &names {
                if parameters.iter().any(|known| matches!(known, RefOr::T(known) if known.name == *name)) {
                    continue;
                }
                let parameter = ParameterBuilder::new()
                    .name(*name)
                    .description(Some(meaning(name)))
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
                parameters.push(RefOr::T(parameter.build()));
            }
        }
    }
}

/// What stands in a path under this name, the same in all of them.
fn meaning(name: &str) -> &'static str {
    match name {
        "number" => "工号, such as 8001.",
        "no" => "The ticket's number, as citizens and units see it.",
        _ => "What lists and events give as `id`.",
    }
}
