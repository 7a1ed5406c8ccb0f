// The words of the API in Chinese, each with the tint of its chip. The word tells the state; the tint only helps.

export const callStates = {
  accepting: ["接入中", ""], ivr: ["语音导航", ""], queued: ["排队", "warn"], ringing: ["振铃", "warn"], talking: ["通话", "good"],
  held: ["保持", "warn"], consulting: ["咨询部门", "warn"], three_way: ["三方通话", "good"], handed_over: ["部门接续", "good"], ended: ["已结束", ""],
};
export const agentStates = {
  reserved: ["分配中", "warn"], ringing: ["振铃", "warn"], talking: ["通话", "good"], holding: ["保持", "warn"], consulting: ["咨询部门", "warn"],
  conferencing: ["三方通话", "good"], wrap_up: ["话后处理", "warn"],
};
export const reasons = {
  rest: "小休", meal: "用餐", training: "培训", meeting: "会议", no_answer: "未接听", phone_lost: "话机失联", signed_in: "刚签入",
};
/** What a person may give as the reason; the others are the program's own. */
export const ownReasons = ["rest", "meal", "training", "meeting"];
export const ticketStates = {
  draft: ["草稿", ""], to_dispatch: ["待派单", "warn"], to_supplement: ["待补充", "warn"], handling: ["办理中", ""], to_review: ["待审核", "warn"],
  to_follow_up: ["待回访", "warn"], closed: ["结案", "good"], archived: ["归档", "good"], merged: ["已并单", ""], void: ["作废", ""],
};
export const ticketKinds = {
  consultation: "咨询", help: "求助", complaint: "投诉", report: "举报", suggestion: "建议", praise: "表扬", other: "其他",
};
export const contactKinds = {
  unsorted: "来电记录", abandoned: "放弃来电", silent: "静音来电", misdialled: "误拨", nuisance: "骚扰", test: "测试", chasing: "来电催办", referred: "指引转介",
};
export const messageStates = {
  pending: ["待发送", "warn"], submitted: ["已提交", ""], delivered: ["已送达", "good"], failed: ["发送失败", "bad"], uncertain: ["待核实", "bad"],
};
export const legStates = { dialling: "呼叫中", ringing: "振铃", answered: "在线", over: "已离开" };
export const parties = { citizen: "诉求人", agent: "话务员", department: "部门", other: "被叫" };
export const userRoles = {
  agent: "话务员", supervisor: "班长", dispatcher: "派单员", reviewer: "审核员", follow_up_agent: "回访员", supervision_officer: "督办员",
  quality_checker: "质检员", knowledge_editor: "知识库管理员", collector: "采集员", auditor: "审计员", unit_clerk: "承办单位经办人",
  unit_head: "承办单位负责人", admin: "系统管理员",
};
