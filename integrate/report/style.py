"""The style of a page: light and dark, for the screen and for paper."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root{color-scheme:light dark;--fg:#1f2328;--mu:#59636e;--bd:#d5dae0;--bg:#fff;--b2:#f3f5f8;--link:#0064a8;
--kw:#a0157a;--str:#0b6b3a;--num:#7a4b00;--com:#68727d;--fn:#0057a8;--bad:#b3261e;--badbg:#fdecea}
@media screen and (prefers-color-scheme:dark){:root{--fg:#dfe4ea;--mu:#9aa5b1;--bd:#3b424b;--bg:#16191d;--b2:#23282f;
--link:#7cc0f2;--kw:#f09ad6;--str:#86d6a5;--num:#e8b84a;--com:#919ba6;--fn:#8fc7f5;--bad:#ff8a7a;--badbg:#3a1f1d}}
:root{--jp-content-font-color0:var(--fg);--jp-content-font-color1:var(--fg);--jp-content-font-color2:var(--mu);
--jp-content-font-color3:var(--mu);--jp-ui-font-color0:var(--fg);--jp-ui-font-color1:var(--fg);
--jp-ui-font-color2:var(--mu);--jp-ui-font-color3:var(--mu);--jp-border-color0:var(--bd);--jp-border-color1:var(--bd);
--jp-border-color2:var(--bd);--jp-border-color3:var(--bd);--jp-layout-color0:var(--bg);--jp-layout-color1:var(--bg);
--jp-layout-color2:var(--b2);--jp-layout-color3:var(--b2);--jp-rendermime-table-row-background:var(--b2);
--xr-background-color:var(--bg);--xr-background-color-row-odd:var(--b2);--xr-background-color-row-even:var(--bg)}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.5rem 3rem;max-width:66rem;background:var(--bg);color:var(--fg);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",sans-serif}
header,nav{border-bottom:1px solid var(--bd);padding-bottom:1rem;margin-bottom:1.5rem}
h1{font-size:1.9rem;line-height:1.25;margin:0 0 .4rem}h2{font-size:1.4rem;margin:2.2rem 0 .6rem}
h3{font-size:1.12rem;margin:1.6rem 0 .4rem}h1,h2,h3{text-wrap:balance}
a{color:var(--link)}.mu{color:var(--mu)}nav ul{columns:2;margin:0;padding-left:1.2rem}
.prose{max-width:46rem}.prose img{max-width:100%}
.prose p code,.prose li code{background:var(--b2);border-radius:3px;padding:0 .25em}
code,pre{font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:.3rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.cell{margin:.5rem 0 1.1rem}.out{overflow-x:auto;margin:.4rem 0}
details.code,details.stderr{margin:.3rem 0}summary{cursor:pointer;color:var(--mu);font-size:.8rem}
details.code pre,.prose pre{background:var(--b2);border-radius:6px;padding:.6rem .8rem;overflow-x:auto}
.highlight :is(.k,.kn,.kc,.kd,.ow){color:var(--kw)}.highlight :is(.s,.s1,.s2,.sa,.sd,.si,.se){color:var(--str)}
.highlight :is(.mi,.mf,.mh,.mb){color:var(--num)}.highlight :is(.nf,.nc,.nd,.fm){color:var(--fn)}
.highlight :is(.c,.c1,.cm){color:var(--com);font-style:italic}
figure{margin:.6rem 0}figure img{max-width:100%;height:auto;background:#fff;border-radius:6px;display:block}
.out table.dataframe,table[id^=T_],.prose table{border-collapse:collapse;font-size:.82rem;border:0}
table[id^=T_]{background:#fff;color:#1f2328}
.dataframe th,.dataframe td,table[id^=T_] th,table[id^=T_] td,.prose th,.prose td{\
border:0;border-bottom:1px solid var(--bd);padding:.25rem .7rem;text-align:right}
.prose th,.prose td{text-align:left}.dataframe caption{text-align:left;color:var(--mu)}
.failed{border-left:4px solid var(--bad);padding-left:1rem}.pending{opacity:.6}
.alert{border:1px solid var(--bad);background:var(--badbg);border-radius:8px;padding:.8rem 1rem;margin:1rem 0}
.alert h2{margin:.1rem 0 .4rem;color:var(--bad);font-size:1.15rem}.alert pre{max-height:32rem;overflow:auto}
.ansi-red-fg,.ansi-red-intense-fg{color:var(--bad)}.ansi-green-fg,.ansi-green-intense-fg{color:var(--str)}
.ansi-blue-fg,.ansi-cyan-fg,.ansi-blue-intense-fg,.ansi-cyan-intense-fg{color:var(--fn)}
.ansi-yellow-fg,.ansi-yellow-intense-fg{color:var(--num)}.ansi-magenta-fg{color:var(--kw)}.ansi-bold{font-weight:700}
footer{margin-top:3rem;border-top:1px solid var(--bd);padding-top:1rem}
@media print{body{max-width:none;padding:0;font-size:10.5pt}details.code,nav{display:none}
figure,tr,svg{break-inside:avoid}h2,h3{break-after:avoid}.out,.ig .x{overflow:visible}
.out table:is(.dataframe,[id^=T_]){font-size:7pt;max-width:100%}
.out table:is(.dataframe,[id^=T_]) :is(th,td){padding:.15rem .3rem;overflow-wrap:anywhere}}
"""
