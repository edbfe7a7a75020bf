"""Four conversations of more than forty turns, with the facts that a summary of each has to hold.

One line per message: `u:` user, `a:` assistant, `t:` result of the call before it, `c: name {arguments}` the
assistant calls a tool. `\\n` in a line is a line break of the message.
"""

# ruff: noqa: E501 - one line per message, as a log has it
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.memory.stored_message import StoredMessage


class Conversation(NamedTuple):
    """What was said, and what a summary must hold: every one of `vital`, and most of `further` facts."""

    messages: list[StoredMessage]
    vital: Sequence[str]
    further: Sequence[str]


def said(role: str, content: str, number: int = 0, fields: dict[str, object] | None = None) -> StoredMessage:
    """Build one message. Its token count plays no part in a summary."""
    return StoredMessage(f"{number}-0", role, content, 0, json.dumps(fields) if fields else None)


def conversation(text: str, vital: Sequence[str], further: Sequence[str]) -> Conversation:
    messages = []
    for number, line in enumerate(text.strip().splitlines(), start=1):
        kind, _, rest = line.partition(": ")
        rest = rest.replace("\\n", "\n")
        if kind == "c":
            name, _, arguments = rest.partition(" ")
            function = {"name": name, "arguments": arguments}
            call = {"id": f"call_{number}", "type": "function", "function": function}
            messages.append(said("assistant", "", number, {"content": None, "tool_calls": [call]}))
        elif kind == "t":
            messages.append(said("tool", rest, number, {"tool_call_id": f"call_{number - 1}"}))
        else:
            messages.append(said({"u": "user", "a": "assistant"}[kind], rest, number))
    return Conversation(messages, vital, further)


PARCEL = conversation(
    """
u: Hi there!
a: Hello! Welcome to support. How can I help you today?
u: My parcel hasn't arrived. I've been waiting for almost two weeks and nobody tells me anything.
a: I'm very sorry to hear that. Could you give me your order number, please?
u: one moment, I have to look for the mail
a: Of course, take your time.
u: It's order NL-20491-B, a coffee grinder for my sister.
a: Thank you! Let me look that up for you.
c: get_order {"order_id": "NL-20491-B", "expand": ["shipment"]}
t: {"id": "NL-20491-B", "status": "shipped", "items": [{"sku": "GRD-880", "qty": 1, "price": 129.0}], "shipment": {"carrier": "PostNL", "tracking": "3SXK77120934", "last_scan": "2025-02-27T06:12:00Z", "depot": "Zwolle"}, "metadata": {"warehouse": 4, "picker": null}}
a: I can see it was handed to PostNL, tracking number 3SXK77120934. The last scan was on 27 February at the depot in Zwolle.
u: That's what the website says too, since forever
a: I understand the frustration. There has been no movement since then, so it may be lost.
u: great...
a: May I ask for your name, so that I can open an investigation?
u: Marieke de Vries
a: Thanks, Marieke. And is the delivery address still correct?
u: No actually! I moved. The new address is Lindenlaan 14, 3581 Utrecht.
a: Good to know. The parcel was addressed to the old place, then.
u: So what now? Will it go to the old address?
a: If it turns up, PostNL would still try the old address first.
u: I really need it before the 15th of March, it's a birthday present.
a: Understood. There are two options: a refund of 129 euros, or a replacement that we ship by express.
u: how long does express take
a: Express takes two working days within the Netherlands.
u: Is it extra?
a: Normally it costs 9.95, but we will waive it in this case.
u: ok nice
a: Shall I send a replacement to the new address by express?
u: Yes, please do that.
c: create_replacement {"order_id": "NL-20491-B", "address": "Lindenlaan 14, 3581 Utrecht", "service": "express"}
t: {"replacement_id": "RP-55310", "ship_date": "2025-03-10", "service": "express", "status": "confirmed"}
a: Done! The replacement RP-55310 is confirmed and ships on 10 March.
u: so it will be there on the 12th?
a: Yes, it should arrive on 12 March at the latest.
u: And what if the first one arrives after all?
a: Then please refuse it at the door, or send it back with the free label.
u: Can you text me instead of mailing? I never read my mail. My number is 06-2214-8890.
a: Sure, I have changed your contact preference to text messages.
u: thank you
a: You're welcome!
u: One more thing, the grinder should be the black one, not the steel one.
a: I have updated RP-55310 to the black model.
u: Perfect, thanks a lot
a: Is there anything else I can help you with today?
u: no that's all, bye
a: Have a lovely day, Marieke!
""",
    vital=["NL-20491-B", "3SXK77120934", "Marieke de Vries", "Lindenlaan 14", "RP-55310", "06-2214-8890", "10 March"],
    further=["coffee grinder", "PostNL", "text me instead of mailing", "15th of March", "black"],
)

TRIP = conversation(
    """
u: hey, can you help me plan a trip? We want to go to Portugal in May with the kids.
a: What a lovely idea! I'd be happy to help. How many of you are travelling, and for how long?
u: Two adults and two children, 6 and 9. Ten days.
a: Wonderful. Do you have dates in mind yet?
u: We'd fly on 9 May and come back on 19 May, from Hamburg.
a: Great, that is a good season: around 23 degrees and not too crowded.
u: sounds good
a: What is your budget for the whole trip?
u: All in all 4,800 euros, flights included. That is the absolute limit.
a: Noted. Would you like to stay in one place or travel around?
u: Hmm. Not more than two places, the kids hate packing.
a: Then I'd suggest Lisbon for the first part and the coast for the second.
u: which coast?
a: Either the Algarve, which is warm and family friendly, or Ericeira, which is closer and known for surfing.
u: My husband wants to surf, so Ericeira.
a: Good choice! It's only 50 minutes from Lisbon by bus.
u: do we need a car then?
a: Not really. In Lisbon a car is a burden, and Ericeira is walkable.
u: ok so no rental car. decided.
a: Great, that saves about 400 euros.
u: One important thing: Jonas, our younger one, is allergic to peanuts.
a: Thank you for telling me, I will keep that in mind for restaurants.
u: And I don't eat meat
a: Got it. There are lovely vegetarian places in both towns.
u: Can you look for flights?
c: search_flights {"from": "HAM", "to": "LIS", "out": "2025-05-09", "back": "2025-05-19", "adults": 2, "children": 2}
t: [{"flight": "TP567", "carrier": "TAP", "out": "09:25", "price_total": 1132, "stops": 0}, {"flight": "LH1172", "carrier": "Lufthansa", "out": "06:10", "price_total": 1284, "stops": 1}, {"flight": "FR2281", "carrier": "Ryanair", "out": "21:40", "price_total": 866, "stops": 0}]
a: There are three options: TAP TP567 at 09:25 for 1,132 euros, direct; Lufthansa LH1172 for 1,284 with one stop; and Ryanair FR2281 late in the evening for 866.
u: not the late one, the kids would be dead
a: Understood. Shall I put TAP TP567 for 1,132 euros into the plan?
u: Yes, go ahead.
a: Done. That leaves 3,668 euros for the rest.
u: cool. hotels?
a: In Lisbon I found Casa Amora in Principe Real, a family room at 148 euros a night with breakfast.
u: Is there a lift? I have a bad knee.
a: There is no lift, but the family room is on the ground floor.
u: then it's ok. 4 nights there.
a: And in Ericeira there is Villa Nazare, a flat with a kitchen, 6 nights for 930 euros.
u: A kitchen is great because of the allergy. Let's book Villa Nazare.
a: It can be cancelled free of charge until 25 April.
u: ah good. remind me of that
a: I will. So far we have flights 1,132, Casa Amora 592 and Villa Nazare 930, which makes 2,654 euros.
u: wow ok that's less than I thought
a: It is! It leaves you 2,146 euros for food, surf lessons and museums.
u: How much are surf lessons?
a: About 35 euros per lesson and person; a course of five is 150.
u: We take the course of five for Henrik.
a: Lovely, I added the surf course for Henrik, 150 euros.
u: that's enough for today, thank you!
a: You're welcome! Enjoy your evening.
""",
    vital=["9 May", "19 May", "4,800", "allergic to peanuts", "TP567", "Villa Nazare", "25 April", "Henrik"],
    further=["Portugal", "Hamburg", "Casa Amora", "two children", "Ericeira", "no rental car"],
)

DEBUG = conversation(
    """
u: Our checkout service returns 502 since this morning, about one request in twenty. Can you find out why?
a: Let me start with the state of the deployment.
c: kubectl {"args": "get pods -n checkout"}
t: NAME READY STATUS RESTARTS AGE\\ncheckout-7d9f5c-2xkqp 1/1 Running 0 5h\\ncheckout-7d9f5c-8vbnw 1/1 Running 11 5h\\ncheckout-7d9f5c-zk4lm 1/1 Running 0 5h
a: One of three pods has restarted 11 times, checkout-7d9f5c-8vbnw. I'll look at its logs.
c: kubectl {"args": "logs checkout-7d9f5c-8vbnw -n checkout --previous --tail 40"}
t: 2025-06-03T08:14:02Z INFO listening on :8080\\n2025-06-03T08:31:40Z INFO GET /cart 200 12ms\\n2025-06-03T08:31:41Z INFO POST /pay 200 240ms\\n2025-06-03T08:31:44Z ERROR java.lang.OutOfMemoryError: Java heap space\\n at com.shop.pricing.RuleCache.load(RuleCache.java:88)\\n at com.shop.pricing.PriceService.quote(PriceService.java:41)\\n at com.shop.http.Router.handle(Router.java:19)\\n2025-06-03T08:31:44Z INFO shutting down
a: The pod dies with java.lang.OutOfMemoryError in RuleCache.load (RuleCache.java:88).
u: hmm, that code hasn't changed in months
a: Then maybe the data has. How large is the heap?
u: no idea, check the chart
c: read_file {"path": "deploy/checkout/values.yaml"}
t: replicaCount: 3\\nimage:\\n  tag: 4.12.0\\nresources:\\n  limits:\\n    memory: 1Gi\\njava:\\n  opts: -Xmx768m\\nrules:\\n  source: s3://shop-pricing/rules.json
a: The heap is limited by -Xmx768m, the container has 1Gi. The rules come from s3://shop-pricing/rules.json.
u: ok and how big is that file?
c: shell {"command": "aws s3 ls s3://shop-pricing/ --human-readable"}
t: 2025-06-02 23:58:11 412.6 MiB rules.json\\n2025-05-30 23:58:09 38.2 MiB rules.json.bak
a: rules.json grew from 38.2 MiB to 412.6 MiB on 2 June at 23:58. That explains the memory.
u: wow. who wrote it?
a: I can look at the job that exports it.
c: shell {"command": "git -C pricing-export log -3 --oneline"}
t: a91c3fe (HEAD -> main) export: include archived rules\\n77b02d1 bump deps\\n0e4f9aa fix typo in README
a: Commit a91c3fe "include archived rules" was the last change; it exports archived rules, too.
u: That was Priya, I think. Let me ask her
a: Sure.
u: She says it was for the audit and nobody told her that checkout reads the same file
a: So the root cause is a91c3fe: checkout loads the archived rules into memory.
u: But why does only one pod die?
a: Good question. Let me compare the traffic of the pods.
c: query_metrics {"query": "sum by (pod) (rate(http_requests_total{ns='checkout'}[5m]))"}
t: {"checkout-7d9f5c-2xkqp": 3.1, "checkout-7d9f5c-8vbnw": 41.7, "checkout-7d9f5c-zk4lm": 2.8}
a: Nearly all quote requests go to 8vbnw because of the sticky sessions in the ingress, so only that pod loads the cache.
u: I see. We can't revert the export, the audit needs it until Friday.
a: Then I suggest to export the archived rules to a separate file, and to filter in RuleCache as a safety net.
u: Agreed. And until that is done?
a: As a stopgap, restore rules.json.bak and raise -Xmx to 1536m with a limit of 2Gi.
u: ok do the memory thing, but don't touch the file without Priya
a: Understood: I will not touch rules.json without Priya's approval.
c: edit_file {"path": "deploy/checkout/values.yaml", "set": {"java.opts": "-Xmx1536m", "resources.limits.memory": "2Gi"}}
t: ok
c: shell {"command": "helm upgrade checkout deploy/checkout -n checkout"}
t: Release "checkout" has been upgraded. Happy Helming!\\nSTATUS: deployed\\nREVISION: 57
a: Deployed as revision 57 with -Xmx1536m and a limit of 2Gi.
u: and the errors?
c: query_metrics {"query": "sum(rate(http_requests_total{ns='checkout',code='502'}[5m]))"}
t: {"value": 0.0}
a: The rate of 502 is zero since the rollout.
u: great. Open a ticket for the real fix please
c: create_ticket {"project": "PAY", "title": "Export archived rules to a separate file", "assignee": "priya"}
t: {"key": "PAY-3187", "status": "open", "url": "https://tickets.example.com/PAY-3187"}
a: I opened PAY-3187 for Priya: export the archived rules to a separate file, filter in RuleCache.
u: thanks, that's it for now
a: You're welcome!
""",
    vital=["502", "OutOfMemoryError", "RuleCache.java:88", "412.6 MiB", "a91c3fe", "1536m", "until Friday"],
    further=["rules.json", "revision 57", "stopgap", "without Priya", "PAY-3187"],
)

RESEARCH = conversation(
    """
u: I'm writing a review on lithium recycling for our board. I need solid numbers on recovery rates of hydrometallurgy against pyrometallurgy.
a: Happy to help. Which period should the sources cover?
u: 2019 or later, peer reviewed only.
a: Noted: peer reviewed, 2019 or later. I'll start with a search.
c: search_papers {"query": "lithium recovery hydrometallurgy pyrometallurgy comparison", "from": 2019, "limit": 5}
t: {"total": 312, "results": [{"id": "W301", "title": "Closed-loop recycling of NMC cathodes by leaching", "year": 2021, "cited_by": 188}, {"id": "W877", "title": "Slag chemistry in battery smelting", "year": 2020, "cited_by": 96}, {"id": "W142", "title": "Direct recycling: promise and limits", "year": 2022, "cited_by": 54}]}
a: There are 312 hits. Three look central: W301 on leaching, W877 on smelting, W142 on direct recycling.
u: Let's see the first one.
c: fetch_paper {"id": "W301", "sections": ["abstract", "results"]}
t: {"id": "W301", "authors": ["Okafor", "Lindqvist"], "abstract": "We report leaching of spent NMC cathodes with 1.5 M citric acid.", "results": "Lithium recovery reached 94.2 percent and cobalt 98.1 percent at 85 degrees. Energy demand was 4.1 MJ per kg."}
a: Okafor and Lindqvist report 94.2 percent lithium recovery by leaching with citric acid at 85 degrees.
u: good. is that lab scale?
a: Yes, batches of 50 grams, so it is lab scale only.
u: Then we have to say so in a footnote.
a: I'll mark it as lab scale.
u: And the smelting paper?
c: fetch_paper {"id": "W877", "sections": ["abstract", "results"]}
t: {"id": "W877", "authors": ["Haverkamp"], "abstract": "Lithium reports to the slag in conventional smelting.", "results": "Without slag treatment lithium recovery was below 1 percent; with chlorination of the slag it rose to 61 percent. Energy demand was 11.8 MJ per kg."}
a: Haverkamp finds less than 1 percent lithium without slag treatment, and 61 percent with chlorination, at 11.8 MJ per kg.
u: wow, that's a big gap
a: It is. Most smelters do not treat their slag.
u: Is there anything at industrial scale for hydro?
c: search_papers {"query": "industrial hydrometallurgical lithium recovery plant data", "from": 2019, "limit": 3}
t: {"total": 21, "results": [{"id": "W519", "title": "Two years of plant data from a hydrometallurgical line", "year": 2023, "cited_by": 31}, {"id": "W520", "title": "Retracted: A plant study", "year": 2021, "cited_by": 12}]}
a: W519 has two years of plant data. W520 has been retracted, so I leave it out.
u: Definitely leave the retracted one out.
c: fetch_paper {"id": "W519", "sections": ["results"]}
t: {"id": "W519", "authors": ["Moreau", "Tanaka"], "results": "Over 24 months the line in Dunkirk processed 6,400 tonnes; lithium recovery averaged 83.5 percent."}
a: Moreau and Tanaka report 83.5 percent on average over 24 months in Dunkirk, with 6,400 tonnes processed.
u: That is the number we use as headline, 83.5 percent, not the lab value.
a: Agreed: the headline is 83.5 percent from W519, the lab value goes into a footnote.
u: What about costs?
a: I found nothing peer reviewed on costs since 2019.
u: ok then we leave costs out of the review. Say so openly in the limitations.
a: Will do: no costs, stated under limitations.
u: Does the EU regulation set a target?
c: fetch_page {"url": "https://eur-lex.example/2023/1542", "find": "lithium recovery"}
t: "Regulation (EU) 2023/1542, Annex XII: recovery of lithium of at least 50 percent by 31 December 2027 and 80 percent by 31 December 2031."
a: Regulation (EU) 2023/1542 asks for 50 percent by the end of 2027 and 80 percent by the end of 2031.
u: perfect, that is our hook for the introduction
a: Good idea.
u: hm, can you check whether W142 has recovery rates too?
c: fetch_paper {"id": "W142", "sections": ["results"]}
t: {"id": "W142", "results": "Direct recycling keeps the cathode structure; no elemental recovery rate is reported."}
a: W142 reports no recovery rate, so it only fits the outlook.
u: Fine, outlook it is.
a: Noted.
u: The draft goes to Dr. Ferrante on 14 November, at most 1,800 words.
a: I'll keep it within 1,800 words for Dr. Ferrante, by 14 November.
u: Thanks, next time we do the outline.
a: You're welcome! See you then.
""",
    vital=[
        "hydrometallurgy",
        "2019 or later",
        "peer reviewed",
        "83.5 percent",
        "61 percent",
        "2023/1542",
        "14 November",
        "1,800 words",
    ],
    further=["Dunkirk", "Haverkamp", "lab scale", "94.2 percent", "retracted", "costs", "Ferrante", "80 percent"],
)

CONVERSATIONS = {"parcel": PARCEL, "trip": TRIP, "debug": DEBUG, "research": RESEARCH}
