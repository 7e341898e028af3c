namespace Lowbit.Formats;

/// <summary>In which form a model lies on the disk.</summary>
public enum CheckpointKind
{
    /// <summary><c>config.json</c> and safetensors, in one file or sharded.</summary>
    HuggingFace,
    /// <summary>A GGUF file.</summary>
    Gguf,
    /// <summary>A model file of llama2.c.</summary>
    Llama2C,
}
