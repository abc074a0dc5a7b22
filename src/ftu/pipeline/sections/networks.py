"""What kind of network is trained: a class for each family, whose keys are its own."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ftu.pipeline.sections.fields import Section


class EncoderDecoder(Section):
    family: Literal["encoder_decoder"]
    """What kind of network, and whose the keys below it are. `encoder_decoder`: an encoder by name, and a
    decoder on its maps."""
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # a name, not a place in a hub
    """Any `coat_*` of timm (with daformer), any encoder of segmentation-models-pytorch, `tu-<name>` for
    timm's. The paper's seven networks stand in [models.md](models.md)."""
    decoder: Literal["unet", "deeplabv3plus", "daformer"]
    """What makes masks of the encoder's maps."""
    width: Annotated[int, Field(ge=1, le=8192)]
    """Channels of the decoder's widest map."""
    fuse: Literal["conv1x1", "conv3x3", "aspp"]
    """How daformer joins its maps: the authors' ways, or the original's. The others do not read it."""
    drop_path: Annotated[float, Field(ge=0, lt=1)]
    """Rate of stochastic depth: the largest probability that training leaves out a layer of the encoder. 0:
    none; what has no stochastic depth takes 0 alone."""

    @model_validator(mode="after")
    def _decoder_can_read_the_encoder(self) -> Self:
        if self.encoder.startswith("coat_") and self.decoder != "daformer":
            raise ValueError(
                f"decoder {self.decoder} needs maps at strides 1 and 2, which {self.encoder} lacks; "
                "use daformer"
            )
        return self


Width = Annotated[int, Field(ge=1, le=1024)]
Norm = Literal["none", "batch"]
Activation = Literal["relu", "elu"]
Dropout = Literal["none", "plain", "spatial"]
Init = Literal["he", "glorot"]


class Unet(Section):
    family: Literal["unet"]
    """`unet`: U-Net and Attention U-Net of double convolutions."""
    encoder: Literal["plain"]
    """`plain`: two convolutions at each of strides 1, 2, 4, 8, 16."""
    decoder: Literal["unet2d", "attunet"]
    """`attunet`: with a gate before each skip."""
    width: Width
    """Channels of the finest map; each coarser one has twice as many."""
    fuse: Literal["skip", "upsampled"]
    """What the gates of attunet let pass: `skip`, as their inventors have it; `upsampled`, as in the paper's
    code. unet2d does not read it."""
    norm: Norm
    """Behind each 3x3 convolution: batch normalisation, or nothing."""
    activation: Activation
    """Behind each 3x3 convolution."""
    dropout: Dropout
    """Between two convolutions: of single values, or of whole maps; its rates are the paper's, 0.1 to 0.3 by
    level."""
    init: Init
    """First weights of 3x3 convolutions; those of other layers are Glorot's."""


class Unetr(Section):
    family: Literal["unetr"]
    """`unetr`: a vision transformer, built for `resize.side`, and a decoder of double convolutions."""
    encoder: Literal["vit-mini", "vit-small", "vit-base", "yvit-mini", "yvit-small", "yvit-base"]
    """The transformer; `yvit-*` has the encoder of a U-Net beside it."""
    decoder: Literal["unetr", "ynetr"]
    """unetr reads `vit-*`, ynetr `yvit-*`."""
    width: Width
    """As of unet."""
    norm: Norm
    """As of unet."""
    activation: Activation
    """As of unet."""
    dropout: Dropout
    """As of unet; ynetr then drops whole maps out of what it joins, too."""
    init: Init
    """As of unet."""

    @model_validator(mode="after")
    def _decoder_can_read_the_encoder(self) -> Self:
        kind = {"unetr": "vit", "ynetr": "yvit"}[self.decoder]
        found, _, variant = self.encoder.partition("-")
        if found != kind:
            raise ValueError(
                f"decoder {self.decoder} does not read {self.encoder}; use encoder {kind}-{variant}"
            )
        return self


class MsTwins(Section):
    family: Literal["ms_twins"]
    """`ms_twins`: the third paper's network, [ms-twins.md](ms-twins.md)."""
    encoder: Literal["tu-twins_svt_small", "tu-twins_svt_base"]
    """timm's Twins-SVT; the decoder mirrors it. Sides that are a multiple of 224 or 256 px suit its windows;
    others are mirrored up to the next."""
    decoder: Literal["mstwins"]
    """Two layers at each of strides 32, 16, 8, 4."""
    fuse: Literal["ms_fif", "none"]
    """What the decoder joins at a level: the encoder's map mixed with the next coarser one (MS-FIF), or the
    map as it is."""
    cascade: Literal["residual", "none"]
    """`residual`: a prediction at each level, where a finer one adds to what the coarser one says. `none`:
    one prediction, at stride 4."""
    drop_path: Annotated[float, Field(ge=0, lt=1)]
    """As of encoder_decoder."""


class Family(Section):
    """The one key of `train.model` that says whose the others are."""

    model_config = ConfigDict(extra="ignore")

    family: Literal["encoder_decoder", "unet", "unetr", "ms_twins"]


FAMILIES = {"encoder_decoder": EncoderDecoder, "unet": Unet, "unetr": Unetr, "ms_twins": MsTwins}
PRETRAINED = (EncoderDecoder, MsTwins)  # whose encoders somebody trained on ImageNet


def _of_its_family(raw: object) -> Section:
    """What `raw` says, read by the class of its family alone: no error is of another family's keys."""
    return FAMILIES[Family.model_validate(raw).family].model_validate(raw)


def families_with(key: str) -> list[str]:
    """The families that read the key of params.yaml, such as train.model.norm."""
    section, _, field = key.rpartition(".")
    return [
        name for name, each in FAMILIES.items() if section == "train.model" and field in each.model_fields
    ]


# Another family is a class of its own; its name joins Family and FAMILIES, and by | the class this line.
Model = Annotated[EncoderDecoder | Unet | Unetr | MsTwins, BeforeValidator(_of_its_family)]
