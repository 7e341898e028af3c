using Lowbit.Formats.Gguf;

namespace Lowbit.Models.Conversion;

/// <summary>A model's description as the metadata of a GGUF file, without its vocabulary.</summary>
internal static class GgufDescription
{
    /// <summary>Describes a Llama-like model.</summary>
    /// <param name="family">ggml's name of the architecture.</param>
    /// <param name="name">Name of the model, for people.</param>
    /// <param name="config">The model.</param>
    public static GgufMetadata Of(string family, string name, ModelConfig config)
    {
        GgufMetadata metadata = new();
        metadata.Set("general.architecture", family);
        metadata.Set("general.name", name);
        metadata.Set("general.quantization_version", 2u);
        Set("vocab_size", config.VocabularySize);
        Set("context_length", config.ContextLength);
        Set("embedding_length", config.ModelDim);
        Set("block_count", config.BlockCount);
        Set("feed_forward_length", config.FfnDim);
        Set("attention.head_count", config.Heads);
        Set("attention.head_count_kv", config.KvHeads);
        Set("attention.key_length", config.HeadDim);
        Set("attention.value_length", config.HeadDim);
        metadata.Set($"{family}.attention.layer_norm_rms_epsilon", config.NormEpsilon);
        Set("rope.dimension_count", config.Rope!.Dim);
        metadata.Set($"{family}.rope.freq_base", config.Rope.Theta);
        return metadata;

        void Set(string key, int value) => metadata.Set($"{family}.{key}", (uint)value);
    }
}
