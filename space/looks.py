"""The page's colours and fonts: warm greys and one blue, in what the visitor's system has."""

import gradio as gr

# Styles around the page. In page.css they would not work: gradio puts its own names before each selector there.
FRAME = """
.gradio-container > .main { padding-block: 14px 8px !important; }
@media (max-width: 760px) {
  .gradio-container > .main { padding-inline: 0 !important; }
}
body.dropping::after { content: attr(data-drop); position: fixed; inset: 12px; z-index: 50; display: grid;
  place-items: center; font: 600 1.4rem/1.4 system-ui, sans-serif; color: #10242f; background: rgb(255 250 235 / 0.94);
  border: 3px dashed #1f5f8b; border-radius: 18px; pointer-events: none; }
"""


def theme() -> gr.themes.Base:
    """Nothing is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    return gr.themes.Base(
        primary_hue="sky",
        neutral_hue="stone",
        text_size="md",
        radius_size="lg",
        font=fonts,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="#fbfaf7",
        body_background_fill_dark="#17191c",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e2125",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1e2125",
        block_border_color="#8f897d",
        block_border_color_dark="#787f88",
        input_border_color="#8f897d",
        input_border_color_dark="#787f88",
        block_radius="14px",
        button_large_radius="14px",
        button_medium_radius="10px",
        button_primary_background_fill="#1f5f8b",
        button_primary_background_fill_hover="#184b6e",
        button_primary_background_fill_dark="#8cc4ec",
        button_primary_background_fill_hover_dark="#b4d9f4",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0e1a24",
    )
