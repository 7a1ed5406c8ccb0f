//! Session descriptions as real peers write them; addresses are from the documentation ranges.

/// SIPp's default caller.
pub const SIPP: &str = "v=0\r\no=user1 53655765 2353687637 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// SIPp's `uac_pcap`: PCMA and telephone events.
pub const SIPP_PCAP: &str = "v=0\no=user1 53655765 2353687637 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n\
    m=audio 6000 RTP/AVP 8 101\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-11,16\n";

pub const BARESIP: &str = "v=0\r\no=- 3899234712 3899234712 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    a=tool:baresip 3.10.1\r\nm=audio 13426 RTP/AVP 96 0 8 97\r\na=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=rtcp:13427\r\na=rtcp-mux\r\na=ssrc:1683215672 cname:sip:a@b\r\n\
    a=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\na=minptime:20\r\na=ptime:20\r\n\
    m=video 13428 RTP/AVP 99\r\nb=TIAS:512000\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 packetization-mode=0\r\na=rtcp-fb:* nack\r\n";

pub const LINPHONE: &str = "v=0\r\no=8001 2387 3512 IN IP4 192.0.2.30\r\ns=Talk\r\nc=IN IP4 192.0.2.30\r\nt=0 0\r\n\
    a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\na=record:off\r\n\
    m=audio 7078 RTP/AVPF 96 97 98 0 8 18 101 99 100\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:97 speex/16000\r\na=fmtp:97 vbr=on\r\na=rtpmap:98 speex/8000\r\na=fmtp:98 vbr=on\r\na=fmtp:18 annexb=yes\r\n\
    a=rtpmap:101 telephone-event/48000\r\na=rtpmap:99 telephone-event/16000\r\na=rtpmap:100 telephone-event/8000\r\n\
    a=rtcp:60351\r\na=rtcp-fb:* trr-int 5000\r\na=rtcp-fb:* ccm tmmbr\r\n";

/// A carrier's SBC: AMR first, preconditions, IPv4, bandwidth lines, 2833 at 97 (8 kHz) and 98 (16 kHz).
pub const IMS: &str = "v=0\r\no=- 1746170880 1746170880 IN IP4 198.51.100.7\r\ns=SBC call\r\nc=IN IP4 198.51.100.7\r\n\
    b=AS:80\r\nt=0 0\r\nm=audio 20184 RTP/AVP 102 104 8 98 97\r\nb=AS:80\r\nb=RS:600\r\nb=RR:2000\r\n\
    a=rtpmap:102 AMR-WB/16000/1\r\na=fmtp:102 mode-change-capability=2; max-red=0\r\na=rtpmap:104 AMR/8000/1\r\n\
    a=fmtp:104 mode-change-capability=2; max-red=0\r\na=rtpmap:8 PCMA/8000/1\r\na=rtpmap:98 telephone-event/16000\r\n\
    a=fmtp:98 0-15\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=ptime:20\r\na=maxptime:240\r\n\
    a=curr:qos local none\r\na=curr:qos remote none\r\na=des:qos mandatory local sendrecv\r\n\
    a=des:qos optional remote sendrecv\r\na=3gOoBTC\r\na=sendrecv\r\n";

/// The same carrier offering G.729 alone.
pub const IMS_G729: &str = "v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 20190 RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Chromium through JsSIP.
pub const CHROMIUM: &str = "v=0\r\no=- 8169423434186498465 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\na=msid-semantic: WMS 8c8d\r\nm=audio 53161 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
    c=IN IP4 203.0.113.9\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2113937151 3c4f.local 53161 typ host\r\n\
    a=ice-ufrag:ABcd\r\na=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\na=fingerprint:sha-256 00:11\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\n\
    a=rtpmap:63 red/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n";
