//! `recordings`: what was said. Every playback and export leaves an audit row before the first byte.

use super::{List, PageQuery, Path, Query, Shared, auth::Who, id, problem::Problem};
use crate::{
    app::{recordings::RecordingView, view::file_name},
    ids::RecordingId,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(recording_list)).routes(routes!(recording_get)).routes(routes!(recording_audio))
}

/// Recordings, the latest first.
#[utoipa::path(get, path = "/recordings", tag = "recordings", params(PageQuery), responses((status = 200, body = List<RecordingView>)))]
async fn recording_list(
    State(http): State<Shared>,
    who: Who,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<RecordingView>>, Problem> {
    let (items, next_cursor) = http.app.recording_list(&who.actor, &query.page()?).await?;
    Ok(Json(List { items, next_cursor }))
}

/// One recording.
#[utoipa::path(get, path = "/recordings/{id}", tag = "recordings", responses((status = 200, body = RecordingView), (status = 404, body = Problem)))]
async fn recording_get(
    State(http): State<Shared>,
    who: Who,
    Path(recording): Path<String>,
) -> Result<Json<RecordingView>, Problem> {
    Ok(Json(http.app.recording_get(&who.actor, id::<RecordingId>(&recording, "录音")?).await?))
}

/// The recording as stereo WAV, 8 kHz, 16 bits: the citizen left, our side right. Takes `Range`, so that a browser can
/// seek.
#[utoipa::path(get, path = "/recordings/{id}/audio", tag = "recordings",
    responses((status = 200, content_type = "audio/wav"), (status = 206, content_type = "audio/wav"), (status = 404, body = Problem)))]
async fn recording_audio(
    State(http): State<Shared>,
    who: Who,
    Path(recording): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (view, wav) = http.app.recording_wav(&who.actor, id::<RecordingId>(&recording, "录音")?).await?;
    let total = wav.len();
    let name = format!("attachment; filename=\"{}-{}.wav\"", view.call, file_name(view.started_at));
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).map(|text| byte_range(text, total));
    let (status, bytes, content_range) = match range {
        None => (StatusCode::OK, wav, None),
        Some(Some((first, last))) => {
            let part = wav[first..=last].to_vec();
            (StatusCode::PARTIAL_CONTENT, part, Some(format!("bytes {first}-{last}/{total}")))
        }
        Some(None) => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
            let detail = format!("录音共 {total} 字节,请求的范围无法满足");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", "范围无法满足", detail);
            return Ok((headers, problem).into_response());
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "audio/wav")
        .header(header::CONTENT_DISPOSITION, name)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "no-store");
    if let Some(range) = content_range {
        response = response.header(header::CONTENT_RANGE, range);
    }
    response.body(Body::from(bytes)).map_err(|_| Problem::unavailable("录音无法发送"))
}

/// The one range of a Range header (RFC 9110 section 14.2); None when it cannot be satisfied.
fn byte_range(text: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first, last) {
        ("", suffix) => (total.checked_sub(suffix.parse::<usize>().ok()?.min(total))?, total.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, total.checked_sub(1)?),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(total.checked_sub(1)?)),
    };
    (first <= last && first < total).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::byte_range;

    #[test]
    fn ranges_as_browsers_send_them() {
        assert_eq!(byte_range("bytes=0-", 100), Some((0, 99)));
        assert_eq!(byte_range("bytes=10-19", 100), Some((10, 19)));
        assert_eq!(byte_range("bytes=90-500", 100), Some((90, 99)));
        assert_eq!(byte_range("bytes=-5", 100), Some((95, 99)));
        assert_eq!(byte_range("bytes=100-", 100), None);
        assert_eq!(byte_range("bytes=5-4", 100), None);
        assert_eq!(byte_range("bytes=0-1,3-4", 100), None);
        assert_eq!(byte_range("bytes=0-", 0), None);
    }
}
